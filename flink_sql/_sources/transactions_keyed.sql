-- Transactions under their own ids: all records of an id lie in one partition, in one order. `amount` is read as text: the
-- JSON format would cut 1.5 to 1; checked_transactions.sql judges the number's own text.
CREATE TEMPORARY TABLE transactions (
  transaction_id    STRING,
  user_id           STRING,
  transaction_type  STRING,
  amount            STRING,
  currency          STRING,
  event_time_millis BIGINT,
  kafka_time        TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  kafka_partition   INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset      BIGINT METADATA FROM 'offset' VIRTUAL,
  -- NULL where the time is refused (over 1 hour ahead of the record's Kafka time)
  event_time AS CASE
    WHEN event_time_millis >= 0 AND TO_TIMESTAMP_LTZ(event_time_millis, 3) <= kafka_time + INTERVAL '1' HOUR
    THEN TO_TIMESTAMP_LTZ(event_time_millis, 3)
  END,
  proc_time AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = 'transactions-keyed',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.group.id' = ${group_id},
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  -- reads the whole document before it gives any field, as for user_score.sql
  'json.decode.json-parser.enabled' = 'false',
  'json.ignore-parse-errors' = 'true'
);
