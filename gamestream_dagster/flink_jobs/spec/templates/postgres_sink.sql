-- The output's rows as a Postgres table. Parallelism 1 keeps two writers off one row.
-- The JDBC connector knows no TIMESTAMP_LTZ, and would read a TIMESTAMP in the time zone of its own JVM: a time is sent as
-- text with its zone, and Postgres reads it (stringtype=unspecified in the URL).
CREATE TEMPORARY TABLE ${output}_table (
  ${columns},
  PRIMARY KEY (${key}) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = ${url},
  'table-name' = '${output}',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '${flush_rows}',
  'sink.buffer-flush.interval' = '${flush_interval}',
  'sink.max-retries' = '${max_retries}',
  'sink.parallelism' = '1'
);
