-- The archived records. ${path}: the topic's folder, as a URI. ${pattern}: the files to read, by their whole paths: those that
-- the manifest names. What a crash left behind, or what is being written now, is not among them.
CREATE TEMPORARY TABLE archive (
  `partition` INT,
  `offset` BIGINT,
  item INT,
  kafka_timestamp BIGINT,
  user_id STRING,
  team_id STRING,
  team_name STRING,
  score BIGINT,
  event_time_millis BIGINT,
  event_type STRING,
  event_id STRING,
  reason STRING
) WITH (
  'connector' = 'filesystem',
  'path' = ${path},
  'source.path.regex-pattern' = ${pattern},
  'format' = 'parquet'
)
