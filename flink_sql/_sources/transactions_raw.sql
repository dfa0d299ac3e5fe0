-- Transactions as they came: bytes, under any key. A row for every record, whatever it holds.
CREATE TEMPORARY TABLE transactions_raw (
  payload         BYTES,
  kafka_time      TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kafka_partition INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset    BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = 'transactions-raw',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.group.id' = ${group_id},
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'raw'
);
