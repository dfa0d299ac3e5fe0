-- What the tries and detections become. Rows hold addresses, which are personal data, and neither user names nor messages:
-- those stay in the topic `logs`, under the partition and offset that a record of ssh-attacks names.

CREATE TEMPORARY VIEW ssh_attacks AS
SELECT
  DATE_FORMAT(TO_TIMESTAMP_LTZ(millis, 3), 'yyyy-MM-dd HH:mm:ss') || 'Z' AS log_timestamp,
  host,
  'Attack user' AS facility,
  source AS remote_address,
  country,
  rule,
  level,
  weight AS attempts,
  kafka_partition AS log_partition,
  kafka_offset AS log_offset
FROM ssh_detections;

CREATE TEMPORARY VIEW attempts_by_source AS
SELECT
  `day`, source,
  MAX(country) AS country,
  SUM(failed + succeeded) AS attempts,
  SUM(failed) AS failed,
  SUM(succeeded) AS succeeded,
  MAX(kafka_time) AS as_of
FROM (
  SELECT
    DATE_FORMAT(TO_TIMESTAMP_LTZ(millis, 3), 'yyyy-MM-dd') || ' 00:00:00Z' AS `day`,
    source, country, kafka_time,
    tries AS failed,
    CASE WHEN kind = 'accepted' THEN repeats ELSE CAST(0 AS BIGINT) END AS succeeded
  FROM ssh_tries
)
WHERE failed + succeeded > 0
GROUP BY `day`, source;

CREATE TEMPORARY VIEW daily_detections AS
SELECT
  DATE_FORMAT(TO_TIMESTAMP_LTZ(millis, 3), 'yyyy-MM-dd') || ' 00:00:00Z' AS `day`,
  rule, level, host, source, country, weight, kafka_time
FROM ssh_detections;

CREATE TEMPORARY VIEW attacks AS
SELECT
  `day`, rule, host, source,
  MAX(level) AS level,
  MAX(country) AS country,
  SUM(weight) AS attempts,
  MAX(kafka_time) AS as_of
FROM daily_detections
GROUP BY `day`, rule, host, source;

CREATE TEMPORARY VIEW attacks_by_host AS
SELECT `day`, host, rule, country, SUM(weight) AS repeat_count, MAX(kafka_time) AS as_of
FROM daily_detections
GROUP BY `day`, host, rule, country;

CREATE TEMPORARY VIEW log_lines_1min AS
SELECT
  `minute`,
  SUM(counted) AS lines,
  SUM(unread) AS unread,
  SUM(tried) AS ssh_lines,
  SUM(unclear) AS ssh_unread,
  MAX(kafka_time) AS as_of
FROM (
  SELECT
    DATE_FORMAT(kafka_time, 'yyyy-MM-dd HH:mm') || ':00Z' AS `minute`,
    kafka_time,
    CAST(1 AS BIGINT) AS counted,
    CASE WHEN reason IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END AS unread,
    CASE WHEN source IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END AS tried,
    CASE WHEN reason = 'UNKNOWN_FORM' THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS unclear
  FROM log_lines
)
GROUP BY `minute`;
