-- Score events as Avro with the registry (Confluent wire format). NOT NULL where the seed's writer schema has no null.
-- `int` and `long` scores are both read into BIGINT; a fraction cannot be written in Avro's integer types.
CREATE TEMPORARY TABLE user_score (
  user_id           STRING NOT NULL,
  team_id           STRING NOT NULL,
  team_name         STRING NOT NULL,
  score             BIGINT NOT NULL,
  event_time_millis BIGINT NOT NULL,
  readable_time     STRING NOT NULL,
  event_type        STRING NOT NULL,
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
  'format' = 'avro-confluent',
  'avro-confluent.url' = ${registry_url},
  -- without any property of its own the registry's client waits for ever, and checkpoints with it
  'avro-confluent.properties.http.connect.timeout.ms' = '10000',
  'avro-confluent.properties.http.read.timeout.ms' = '20000'
);
