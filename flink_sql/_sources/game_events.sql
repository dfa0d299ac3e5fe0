-- Game events as they came. The format is our own (gamestream_dagster/platform/flink_formats): each record gives one row,
-- whatever its bytes are, judged by the catalogue's rules (gamestream_dagster/catalogue/game_rules.py). `reason` is NULL for
-- an event that is accepted unless its time is refused, which the next view decides. The format looks up the country by the
-- record's `ip_address`, which is no column, and the device (docs/enrichment.md).
CREATE TEMPORARY TABLE game_events_raw (
  reason        STRING,
  field         STRING,
  event_id      STRING,
  derived_id    STRING, -- of an Avro record without an id, where its type may lack one
  user_id       STRING,
  session_id    STRING,
  event_type    STRING,
  event_time    BIGINT,
  platform      STRING,
  app_version   STRING,
  country       STRING,
  geo_version   STRING,
  device_model    STRING,
  device_category STRING,
  device_tier     STRING,
  device_version  STRING,
  region        STRING,
  experiment    STRING,
  `variant`       STRING,
  environment   STRING,
  properties    STRING,
  digest        STRING,
  unknown_field BOOLEAN,
  payload       BYTES,
  not_text      BOOLEAN,
  headers         MAP<STRING, BYTES> METADATA VIRTUAL,
  kafka_time      TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kafka_partition INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset    BIGINT METADATA FROM 'offset' VIRTUAL,
  proc_time AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = 'game-events-raw',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.group.id' = ${group_id},
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  ${format_game_events}
);
