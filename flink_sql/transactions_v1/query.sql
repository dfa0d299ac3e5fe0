-- Two steps in one job. First every record of transactions-raw goes to transactions-keyed, byte for byte, under the id that
-- it carries and with the Kafka time that it had: from there on all records of an id lie in one partition, so that their
-- order, and with it every decision, is the same for whoever reads them again. Then the first accepted record of an id
-- passes, and each other record is refused with a reason. docs/transactions.md is the rule.

CREATE TEMPORARY VIEW transactions_keyed AS
SELECT
  JSON_VALUE(DECODE(payload, 'UTF-8'), '$.transaction_id') AS transaction_id,
  payload,
  kafka_time
FROM transactions_raw
-- nothing of an erased player (docs/privacy.md); while nobody is erased, Flink plans no condition
WHERE ${erased_players} = '' OR JSON_VALUE(DECODE(payload, 'UTF-8'), '$.user_id') IS NULL
  OR POSITION(
    SUBSTRING(SHA256(CONCAT(${erased_salt}, JSON_VALUE(DECODE(payload, 'UTF-8'), '$.user_id'))) FROM 1 FOR 16)
    IN ${erased_players}
  ) = 0;

CREATE TEMPORARY VIEW transactions_unique AS
SELECT
  event_id AS transaction_id, user_id, transaction_type, points AS amount, currency, event_time_millis,
  kafka_partition AS keyed_partition, kafka_offset AS keyed_offset
FROM counted_transactions;

CREATE TEMPORARY VIEW refused_transactions AS
-- what the JSON format gives no row of
SELECT
  'NOT_JSON' AS reason,
  CAST(NULL AS STRING) AS transaction_id, CAST(NULL AS STRING) AS user_id, CAST(NULL AS STRING) AS transaction_type,
  CAST(NULL AS STRING) AS amount, CAST(NULL AS STRING) AS currency,
  CAST(NULL AS STRING) AS first_user_id, CAST(NULL AS BIGINT) AS first_amount, CAST(NULL AS BIGINT) AS first_offset,
  CAST(NULL AS BIGINT) AS after_seconds, payload,
  'transactions-raw' AS source_topic, kafka_partition, kafka_offset
FROM transactions_raw
WHERE payload IS NULL OR NOT (DECODE(payload, 'UTF-8') IS JSON OBJECT) OR ENCODE(DECODE(payload, 'UTF-8'), 'UTF-8') <> payload
UNION ALL
SELECT
  refused_because, event_id, user_id, transaction_type, amount, currency,
  CAST(NULL AS STRING), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BYTES),
  'transactions-keyed', kafka_partition, kafka_offset
FROM checked_transactions
WHERE points IS NULL AND refused_because <> 'ERASED'
UNION ALL
SELECT
  CASE
    WHEN user_id <> first_user_id OR transaction_type <> first_type OR points <> first_points OR currency <> first_currency
    THEN 'DUP_CONFLICT'
    WHEN kafka_time < first_kafka_time + INTERVAL '12' MINUTE THEN 'DUPLICATE' -- 10 minutes and 2 of grace
    ELSE 'DUPLICATE_AFTER_WINDOW'
  END,
  event_id, user_id, transaction_type, amount, currency, first_user_id, first_points, first_offset,
  CAST(TIMESTAMPDIFF(SECOND, first_kafka_time, kafka_time) AS BIGINT), CAST(NULL AS BYTES),
  'transactions-keyed', kafka_partition, kafka_offset
FROM told_transactions
WHERE copy > 1;

CREATE TEMPORARY VIEW transactions_refused AS
SELECT
  reason,
  CASE reason
    WHEN 'NOT_JSON' THEN 'the record is no JSON object in UTF-8; send one transaction as one object'
    WHEN 'MISSING_FIELD' THEN 'a field is missing, null, empty or of another type; see docs/transactions.md'
    WHEN 'TOO_LARGE' THEN 'a text is too long; see docs/transactions.md'
    WHEN 'BAD_TEXT' THEN 'a text holds a NUL character; remove it'
    WHEN 'WRONG_TYPE' THEN 'amount is not a whole number; send the smallest unit of the currency'
    WHEN 'OUT_OF_RANGE' THEN 'amount or time is outside its limits; see docs/transactions.md'
    WHEN 'FUTURE_TIMESTAMP' THEN 'event_time_millis is more than an hour ahead of Kafka; set the sender''s clock'
    WHEN 'DUP_CONFLICT' THEN 'this id passed with another player, type, amount or currency; ask the sender which one is right'
    WHEN 'DUPLICATE' THEN 'this id passed less than 12 minutes before; nothing to do'
    ELSE 'this id passed 12 minutes before or more; nothing to do'
  END AS sentence,
  transaction_id, user_id, transaction_type, amount, currency,
  first_user_id, first_amount, first_offset, after_seconds, payload AS content_base64,
  source_topic, kafka_partition AS source_partition, kafka_offset AS source_offset
FROM refused_transactions;

CREATE TEMPORARY VIEW transaction_ids AS
SELECT event_id AS transaction_id, user_id, transaction_type, points AS amount, currency
FROM counted_transactions;
