-- No id is remembered: every accepted transaction counts.
CREATE TEMPORARY VIEW told_transactions AS
SELECT
  *,
  CAST(1 AS BIGINT) AS copy,
  user_id AS first_user_id,
  transaction_type AS first_type,
  points AS first_points,
  currency AS first_currency,
  kafka_time AS first_kafka_time,
  kafka_offset AS first_offset
FROM checked_transactions
WHERE points >= 0;

CREATE TEMPORARY VIEW counted_transactions AS
SELECT * FROM told_transactions;
