-- Log lines as they came: plain lines, Fluent Bit's shape, JSON fields. The format is our own
-- (gamestream_dagster/platform/flink_formats): each record gives one row, whatever its bytes are, read by the patterns of
-- gamestream_dagster/security/patterns.py. `reason` is NULL unless the record could not be read; `source` is the address of a
-- try to log in by SSH and NULL for every other line; `country` is looked up by it (docs/enrichment.md).
CREATE TEMPORARY TABLE log_lines (
  reason          STRING,
  host            STRING,
  program         STRING,
  pid             STRING,
  message         STRING,
  kind            STRING,
  repeats         BIGINT,
  source          STRING,
  country         STRING,
  millis          BIGINT,
  kafka_time      TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kafka_partition INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset    BIGINT METADATA FROM 'offset' VIRTUAL,
  proc_time AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = 'logs',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.group.id' = ${group_id},
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  ${format_log_lines}
);
