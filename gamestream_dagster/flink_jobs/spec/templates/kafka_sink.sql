-- The output's changes as a compacted topic. Parallelism 1 keeps the changes of a key in order.
CREATE TEMPORARY TABLE ${output}_topic (
  ${columns},
  PRIMARY KEY (${key}) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.transaction.timeout.ms' = '${transaction_timeout_ms}',
  'key.format' = 'json',
  'value.format' = 'json',
  'sink.parallelism' = '1',
  'sink.delivery-guarantee' = '${delivery}',
  'sink.transactional-id-prefix' = 'gamestream-${job_name}-${output}'
);
