-- Game events as the intake job writes them: accepted, each once. Fields that no job reads have no column here.
CREATE TEMPORARY TABLE game_events_enriched (
  event_id          STRING,
  user_id           STRING,
  session_id        STRING,
  event_type        STRING,
  event_time_millis BIGINT,
  region            STRING,
  experiment        STRING,
  `variant`         STRING,
  environment       STRING,
  properties        STRING,
  kafka_time        TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kafka_partition   INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset      BIGINT METADATA FROM 'offset' VIRTUAL,
  -- NULL where the time is refused (over 1 hour ahead of the record's Kafka time): it must not move the watermark either
  event_time AS CASE
    WHEN event_time_millis >= 0 AND TO_TIMESTAMP_LTZ(event_time_millis, 3) <= kafka_time + INTERVAL '1' HOUR
    THEN TO_TIMESTAMP_LTZ(event_time_millis, 3)
  END,
  -- never ahead of the record's Kafka time: one player with a fast clock would close everybody's minutes. Intake puts events
  -- that come over 10 minutes late into a topic of their own.
  WATERMARK FOR event_time AS
    CASE WHEN event_time > kafka_time THEN kafka_time ELSE event_time END - INTERVAL '10' MINUTE
) WITH (
  'connector' = 'kafka',
  'topic' = 'game-events-enriched',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.group.id' = ${group_id},
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  -- reads the whole document before it gives any field, as for user_score.sql
  'json.decode.json-parser.enabled' = 'false',
  'json.ignore-parse-errors' = 'true'
);
