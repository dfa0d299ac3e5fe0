-- Score events as Avro with the registry (Confluent wire format). The format is our own
-- (gamestream_dagster/platform/flink_formats): a record that cannot be read gives no row, and a field that is absent or of
-- another type gives NULL. `int`, `long` and digits as text are read into BIGINT, times of any unit as milliseconds.
CREATE TEMPORARY TABLE user_score (
  user_id           STRING,
  team_id           STRING,
  team_name         STRING,
  score             BIGINT,
  event_time_millis BIGINT,
  readable_time     STRING,
  event_type        STRING,
  event_id          STRING,
  kafka_time        TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kafka_partition   INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset      BIGINT METADATA FROM 'offset' VIRTUAL,
  -- NULL where the time is refused (over 1 hour ahead of the record's Kafka time): it must not move the watermark either
  event_time AS CASE
    WHEN event_time_millis >= 0 AND TO_TIMESTAMP_LTZ(event_time_millis, 3) <= kafka_time + INTERVAL '1' HOUR
    THEN TO_TIMESTAMP_LTZ(event_time_millis, 3)
  END,
  proc_time AS PROCTIME(),
  -- never ahead of the record's Kafka time: one player with a fast clock would make everybody else late
  WATERMARK FOR event_time AS
    CASE WHEN event_time > kafka_time THEN kafka_time ELSE event_time END - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'user-score',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.group.id' = ${group_id},
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'gamestream-avro',
  'gamestream-avro.url' = ${registry_url}
);
