-- Two sinks for each board: a compacted Kafka topic (exactly once) and a Postgres table (upsert), both from one view.
-- Parallelism 1 keeps the rows of a board in order, and keeps two writers off one row.

CREATE TEMPORARY TABLE hot_streaks_topic (
  as_of TIMESTAMP_LTZ(3), rnk BIGINT, user_id STRING, short_term_sum BIGINT, short_term_count BIGINT, long_term_sum BIGINT, long_term_count BIGINT, short_term_avg DOUBLE, long_term_avg DOUBLE, peak_hotness DOUBLE,
  PRIMARY KEY (rnk) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'hot-streaks',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json',
  'sink.parallelism' = '1',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'gamestream-hot_streaks_v1-hot_streaks'
);

-- The JDBC connector knows no TIMESTAMP_LTZ, and would read a TIMESTAMP in the time zone of its own JVM: the time is sent as
-- text with its zone, and Postgres reads it (stringtype=unspecified).
CREATE TEMPORARY TABLE hot_streaks_table (
  as_of STRING, rnk BIGINT, user_id STRING, short_term_sum BIGINT, short_term_count BIGINT, long_term_sum BIGINT, long_term_count BIGINT, short_term_avg DOUBLE, long_term_avg DOUBLE, peak_hotness DOUBLE,
  PRIMARY KEY (rnk) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = '${jdbc_url}?stringtype=unspecified',
  'table-name' = 'hot_streaks',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '500 ms',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);

CREATE TEMPORARY TABLE ledger_table (
  job STRING, partition_id INT, minute_millis BIGINT, records BIGINT, accepted BIGINT, duplicate BIGINT,
  offset_sum BIGINT, offset_square_sum BIGINT, first_offset BIGINT, last_offset BIGINT,
  PRIMARY KEY (job, partition_id, minute_millis) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = ${jdbc_url},
  'table-name' = 'job_ledger',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '1 s',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);

EXECUTE STATEMENT SET BEGIN
INSERT INTO hot_streaks_topic SELECT as_of, rnk, user_id, short_term_sum, short_term_count, long_term_sum, long_term_count, short_term_avg, long_term_avg, peak_hotness FROM hot_streaks_board;
INSERT INTO hot_streaks_table SELECT CAST(as_of AS STRING) || '+00', rnk, user_id, short_term_sum, short_term_count, long_term_sum, long_term_count, short_term_avg, long_term_avg, peak_hotness FROM hot_streaks_board;
INSERT INTO ledger_table SELECT job, partition_id, minute_millis, records, accepted, duplicate, offset_sum, offset_square_sum, first_offset, last_offset FROM ledger;
END;
