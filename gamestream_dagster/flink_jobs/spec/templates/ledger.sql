-- The job's side of the ledger of ${topic}, by partition and minute of the Kafka time: what it read, what it accepted, which
-- copies it dropped. Minute -1 is the whole partition: after a restore from an old state it alone tells what the state holds,
-- because a minute without new records keeps its row. The offsets come straight from the source, in the order of the
-- partition: at any instant a row covers all records up to its last offset. Copies are dropped further down and may lag
-- behind: until then an accepted record counts as `duplicate`.
CREATE TEMPORARY VIEW ledger${suffix}_entries AS
SELECT
  -- not a constant to the planner: `job` must be part of the key that it knows, or the sink would delete each row before
  -- it writes it anew, and a reader would find it missing now and then
  CASE WHEN kafka_partition >= 0 THEN ${job} END AS job,
  kafka_partition AS partition_id, minute_millis, kafka_offset AS kafka_place,
  -- as BIGINT: the remainder of an INT is an INT, and so would be its sum
  MOD(kafka_offset, CAST(1000000 AS BIGINT)) AS place, points, CAST(NULL AS BIGINT) AS counted_points
FROM ${checked}
UNION ALL
SELECT
  CASE WHEN kafka_partition >= 0 THEN ${job} END,
  kafka_partition, minute_millis, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), points
FROM ${counted}
WHERE points IS NOT NULL;

CREATE TEMPORARY VIEW ledger${suffix} AS
SELECT
  job, partition_id, minute_millis, records,
  LEAST(counted, accepted) AS accepted,
  accepted - LEAST(counted, accepted) AS duplicate,
  offset_sum, offset_square_sum, first_offset, last_offset
FROM (
  SELECT
    job, partition_id, span AS minute_millis,
    COUNT(kafka_place) AS records, COUNT(points) AS accepted, COUNT(counted_points) AS counted,
    SUM(place) AS offset_sum, SUM(place * place) AS offset_square_sum,
    MIN(kafka_place) AS first_offset, MAX(kafka_place) AS last_offset
  FROM ledger${suffix}_entries CROSS JOIN UNNEST(ARRAY[minute_millis, CAST(-1 AS BIGINT)]) AS spans (span)
  GROUP BY job, partition_id, span
);

-- The same for a job that does not count its copies (`ledger: {copies: false}` in job.yaml): `accepted` includes them, and
-- `duplicate` is NULL, not 0.
CREATE TEMPORARY VIEW ledger${suffix}_without_copies AS
SELECT
  job, partition_id, span AS minute_millis, COUNT(*) AS records, COUNT(points) AS accepted, CAST(NULL AS BIGINT) AS duplicate,
  SUM(place) AS offset_sum, SUM(place * place) AS offset_square_sum,
  MIN(kafka_offset) AS first_offset, MAX(kafka_offset) AS last_offset
FROM (
  SELECT
    CASE WHEN kafka_partition >= 0 THEN ${job} END AS job,
    kafka_partition AS partition_id, minute_millis, kafka_offset, points,
    MOD(kafka_offset, CAST(1000000 AS BIGINT)) AS place
  FROM ${checked}
) CROSS JOIN UNNEST(ARRAY[minute_millis, CAST(-1 AS BIGINT)]) AS spans (span)
GROUP BY job, partition_id, span;

-- The part of the table `job_ledger` that holds the counts of this topic.
CREATE TEMPORARY TABLE ledger${suffix}_table (
  ${columns},
  PRIMARY KEY (${key}) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = ${jdbc_url},
  'table-name' = '${part}',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '1 s',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);
