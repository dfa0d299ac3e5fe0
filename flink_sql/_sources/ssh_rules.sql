-- Made from the Sigma files of gamestream_dagster/security/rules by `gamestream logs rules --write`; do not edit.
-- A line that adds several tries, such as `message repeated 5 times`, gives a row for each, up to the most that a
-- rule counts: the last of them stands for the rest.
CREATE TEMPORARY VIEW ssh_units AS
SELECT
  host, program, message, kind, source, country, millis, kafka_time, kafka_partition, kafka_offset,
  PROCTIME() AS proc_time, -- UNNEST leaves the former one without its meaning
  unit,
  CASE WHEN kind = 'accepted' THEN 'succeeded' WHEN tries > 0 THEN 'failed' END AS outcome,
  CASE
    WHEN kind = 'accepted' THEN repeats
    WHEN unit = 5 THEN tries - CAST(4 AS BIGINT)
    ELSE CAST(1 AS BIGINT)
  END AS weight
FROM (
  SELECT *, CASE
    WHEN tries >= 5 THEN ARRAY[1, 2, 3, 4, 5]
    WHEN tries >= 4 THEN ARRAY[1, 2, 3, 4]
    WHEN tries >= 3 THEN ARRAY[1, 2, 3]
    WHEN tries >= 2 THEN ARRAY[1, 2]
    ELSE ARRAY[1]
  END AS units
  FROM ssh_tries
) CROSS JOIN UNNEST(units) AS numbered (unit);

CREATE TEMPORARY VIEW ssh_seen AS
SELECT
  host, program, message, kind, source, country, millis, kafka_time, kafka_partition, kafka_offset, proc_time, unit, outcome, weight,
  SUM(CASE WHEN COALESCE(outcome = 'failed', FALSE) THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END) OVER by_source AS ssh_brute_force_seen,
  SUM(CASE WHEN COALESCE(outcome = 'failed', FALSE) THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END) OVER by_source AS ssh_repeated_failures_seen
FROM ssh_units
WINDOW by_source AS (PARTITION BY source ORDER BY proc_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW ssh_kept AS
SELECT
  host, program, message, kind, source, country, millis, kafka_time, kafka_partition, kafka_offset, proc_time, unit, outcome, weight, ssh_brute_force_seen, ssh_repeated_failures_seen,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_brute_force_seen, CAST(5 AS BIGINT)) = 0 THEN millis END) OVER by_source AS ssh_brute_force_0,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_brute_force_seen, CAST(5 AS BIGINT)) = 1 THEN millis END) OVER by_source AS ssh_brute_force_1,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_brute_force_seen, CAST(5 AS BIGINT)) = 2 THEN millis END) OVER by_source AS ssh_brute_force_2,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_brute_force_seen, CAST(5 AS BIGINT)) = 3 THEN millis END) OVER by_source AS ssh_brute_force_3,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_brute_force_seen, CAST(5 AS BIGINT)) = 4 THEN millis END) OVER by_source AS ssh_brute_force_4,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_repeated_failures_seen, CAST(3 AS BIGINT)) = 0 THEN millis END) OVER by_source AS ssh_repeated_failures_0,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_repeated_failures_seen, CAST(3 AS BIGINT)) = 1 THEN millis END) OVER by_source AS ssh_repeated_failures_1,
  LAST_VALUE(CASE WHEN COALESCE(outcome = 'failed', FALSE) AND MOD(ssh_repeated_failures_seen, CAST(3 AS BIGINT)) = 2 THEN millis END) OVER by_source AS ssh_repeated_failures_2
FROM ssh_seen
WINDOW by_source AS (PARTITION BY source ORDER BY proc_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW ssh_detections AS
SELECT
  'ssh_brute_force' AS rule, 'high' AS level, host, source, country, millis, weight,
  kafka_time, kafka_partition, kafka_offset
FROM ssh_kept
WHERE COALESCE(outcome = 'failed', FALSE)
  AND GREATEST(ssh_brute_force_0, ssh_brute_force_1, ssh_brute_force_2, ssh_brute_force_3, ssh_brute_force_4) - LEAST(ssh_brute_force_0, ssh_brute_force_1, ssh_brute_force_2, ssh_brute_force_3, ssh_brute_force_4) <= CAST(120000 AS BIGINT)
UNION ALL
SELECT
  'ssh_invalid_user' AS rule, 'medium' AS level, host, source, country, millis, weight,
  kafka_time, kafka_partition, kafka_offset
FROM ssh_kept
WHERE unit = 1 AND ((COALESCE(program = 'sshd', FALSE) OR COALESCE(program = 'sshd-session', FALSE) OR COALESCE(program = 'sshd-auth', FALSE)) AND (COALESCE(STARTSWITH(message, 'Invalid user '), FALSE) OR COALESCE(STARTSWITH(message, 'Illegal user '), FALSE)))
UNION ALL
SELECT
  'ssh_success_after_failures' AS rule, 'critical' AS level, host, source, country, millis, weight,
  kafka_time, kafka_partition, kafka_offset
FROM ssh_kept
WHERE unit = 1 AND COALESCE(outcome = 'succeeded', FALSE)
  AND GREATEST(ssh_repeated_failures_0, ssh_repeated_failures_1, ssh_repeated_failures_2) - LEAST(ssh_repeated_failures_0, ssh_repeated_failures_1, ssh_repeated_failures_2) <= CAST(600000 AS BIGINT)
  AND millis - GREATEST(ssh_repeated_failures_0, ssh_repeated_failures_1, ssh_repeated_failures_2) <= CAST(600000 AS BIGINT);
