-- DuckDB, over the Parquet files $1: one row for each topic and partition, from counts alone (no event is read out).
WITH files AS (
    SELECT
        topic,
        "partition" AS partition_id,
        filename,
        count(*) AS records,
        min("offset") AS first_offset,
        max("offset") AS last_offset,
        count(*) FILTER (WHERE reason IS NULL) AS accepted,
        count(*) FILTER (
            WHERE reason IS NULL
                AND (user_id IS NULL OR team_id IS NULL OR team_name IS NULL OR score IS NULL OR event_time_millis IS NULL)
        ) AS accepted_incomplete,
        count(*) FILTER (WHERE reason IS NULL AND (score < 0 OR score > 1000000000000)) AS accepted_out_of_range,
        count(*) FILTER (WHERE kafka_timestamp IS NULL OR "offset" IS NULL) AS without_place
    FROM read_parquet($$1, filename = true, hive_partitioning = false)
    GROUP BY topic, "partition", filename
),
followed AS (
    SELECT *, lag(last_offset) OVER (PARTITION BY topic, partition_id ORDER BY first_offset, last_offset) AS offset_before
    FROM files
)
SELECT
    topic,
    partition_id,
    count(*) AS files,
    CAST(sum(records) AS BIGINT) AS records,
    CAST(sum(accepted) AS BIGINT) AS accepted,
    -- More records in a file than offsets between its first and last: a record is in it twice.
    count(*) FILTER (WHERE records > last_offset - first_offset + 1) AS files_with_doubles,
    count(*) FILTER (WHERE offset_before >= first_offset) AS overlapping_files,
    CAST(sum(accepted_incomplete) AS BIGINT) AS accepted_incomplete,
    CAST(sum(accepted_out_of_range) AS BIGINT) AS accepted_out_of_range,
    CAST(sum(without_place) AS BIGINT) AS without_place
FROM followed
GROUP BY topic, partition_id
ORDER BY topic, partition_id
