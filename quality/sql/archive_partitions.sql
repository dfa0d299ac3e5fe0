-- DuckDB, over one topic's relation `archive`: one row for each partition, from counts alone (no event is read out).
SELECT
    "partition" AS partition_id,
    count(*) AS stored_rows,
    count(*) FILTER (WHERE reason IS NULL) AS accepted,
    count(*) FILTER (WHERE kafka_timestamp IS NULL OR "offset" IS NULL) AS without_place,
    min("offset") AS first_offset,
    max("offset") AS last_offset
FROM archive
GROUP BY "partition"
ORDER BY "partition"
