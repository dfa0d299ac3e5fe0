-- The ids that pass, by DuckDB, over the counted transactions before a cut: of an id the first accepted record.
SELECT
  transaction_id,
  max(user_id) AS user_id,
  max(transaction_type) AS transaction_type,
  sum(amount)::BIGINT AS amount,
  max(currency) AS currency
FROM events
GROUP BY transaction_id
