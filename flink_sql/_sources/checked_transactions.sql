-- Every transaction that could be read, with `points`: the amount if it is accepted, else NULL and the reason. Rule and order
-- of the reasons are those of gamestream_dagster/events/rule.py.
CREATE TEMPORARY VIEW checked_transactions AS
SELECT
  transaction_id AS event_id, user_id, transaction_type, amount, currency, event_time_millis,
  kafka_time, kafka_partition, kafka_offset, proc_time,
  -- the minute of the Kafka time, milliseconds since 1970
  CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 60000 AS minute_millis,
  CASE
    WHEN transaction_id <> '' AND user_id <> '' AND transaction_type <> '' AND currency <> ''
     AND CHAR_LENGTH(transaction_id) <= 200 AND CHAR_LENGTH(user_id) <= 200 AND CHAR_LENGTH(transaction_type) <= 50
     AND CHAR_LENGTH(currency) <= 10
     -- Postgres cannot hold NUL: one such text would stop the sink for ever
     AND POSITION(U&'\0000' IN transaction_id) = 0 AND POSITION(U&'\0000' IN user_id) = 0
     AND POSITION(U&'\0000' IN transaction_type) = 0 AND POSITION(U&'\0000' IN currency) = 0
     -- only the canonical text of an integer: no fraction, no exponent, no sign but a minus
     AND CAST(TRY_CAST(amount AS BIGINT) AS STRING) = CAST(amount AS STRING)
     AND TRY_CAST(amount AS BIGINT) BETWEEN 0 AND 1000000000000
     -- judged by the record's own Kafka time, so that a replay decides as the live job did
     AND event_time IS NOT NULL
    THEN TRY_CAST(amount AS BIGINT)
  END AS points,
  CASE
    WHEN erased THEN 'ERASED'
    WHEN COALESCE(transaction_id, '') = '' OR COALESCE(user_id, '') = '' OR COALESCE(transaction_type, '') = ''
      OR amount IS NULL OR COALESCE(currency, '') = '' OR event_time_millis IS NULL THEN 'MISSING_FIELD'
    WHEN CHAR_LENGTH(transaction_id) > 200 OR CHAR_LENGTH(user_id) > 200 OR CHAR_LENGTH(transaction_type) > 50
      OR CHAR_LENGTH(currency) > 10 THEN 'TOO_LARGE'
    WHEN POSITION(U&'\0000' IN transaction_id) > 0 OR POSITION(U&'\0000' IN user_id) > 0
      OR POSITION(U&'\0000' IN transaction_type) > 0 OR POSITION(U&'\0000' IN currency) > 0 THEN 'BAD_TEXT'
    WHEN NOT REGEXP(amount, '^(0|-?[1-9][0-9]*)$') THEN 'WRONG_TYPE'
    WHEN CHAR_LENGTH(amount) > 13 OR TRY_CAST(amount AS BIGINT) NOT BETWEEN 0 AND 1000000000000
      OR event_time_millis < 0 THEN 'OUT_OF_RANGE'
    ELSE 'FUTURE_TIMESTAMP'
  END AS refused_because
FROM (
  SELECT
    transaction_id, transaction_type, amount, currency, event_time_millis, event_time, kafka_time, kafka_partition,
    kafka_offset, proc_time,
    -- an erased player's transactions are of nobody, and count nowhere (docs/privacy.md); while nobody is erased, Flink
    -- plans no condition
    CASE
      WHEN ${erased_players} <> ''
        AND POSITION(SUBSTRING(SHA256(CONCAT(${erased_salt}, user_id)) FROM 1 FOR 16) IN ${erased_players}) > 0 THEN NULL
      ELSE user_id
    END AS user_id,
    ${erased_players} <> ''
      AND POSITION(SUBSTRING(SHA256(CONCAT(${erased_salt}, user_id)) FROM 1 FOR 16) IN ${erased_players}) > 0 AS erased
  FROM transactions
);
