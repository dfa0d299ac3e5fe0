-- Score events as JSON, in the wire format of the first seed plus an optional event_id.
-- `score` is read as text: the JSON format would cut 1.5 to 1 in silence; checked_scores.sql judges the number's own text.
CREATE TEMPORARY TABLE user_score (
  user_id           STRING,
  team_id           STRING,
  team_name         STRING,
  score             STRING,
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
  -- the events published before the first deployment count too
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  -- The default reader stops at the last known field, lifts fields out of nested objects, and never returns from an array
  -- that is cut short; this one reads the whole document first.
  'json.decode.json-parser.enabled' = 'false',
  'json.ignore-parse-errors' = 'true'
);
