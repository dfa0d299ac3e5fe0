-- Records whose value is the bytes of one column, appended to a declared topic; Kafka's own partitioner places them by their key.
CREATE TEMPORARY TABLE ${output}_stream (
  ${columns}
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.transaction.timeout.ms' = '${transaction_timeout_ms}',
  'key.format' = 'raw',
  'key.fields' = '${key}',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = '${delivery}',
  'sink.transactional-id-prefix' = 'gamestream-${job_name}-${output}'
);
