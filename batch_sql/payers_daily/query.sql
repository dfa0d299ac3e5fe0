WITH money AS (
  SELECT
    user_id,
    event_name,
    "timestamp",
    CASE
      WHEN parameters ->> '$.price_usd' IS NOT NULL THEN CAST(parameters ->> '$.price_usd' AS DECIMAL(38, 6))
      WHEN parameters ->> '$.currency' = 'USD' THEN CAST(parameters ->> '$.price' AS DECIMAL(38, 6))
    END AS usd
  FROM events
  WHERE event_name IN ('item_purchase', 'refund')
)
SELECT
  user_id,
  $day AS date,
  count(*) FILTER (WHERE event_name = 'item_purchase') AS purchases,
  coalesce(sum(usd) FILTER (WHERE event_name = 'item_purchase'), 0) AS revenue_usd,
  coalesce(sum(usd) FILTER (WHERE event_name = 'refund'), 0) AS refunds_usd,
  min("timestamp") FILTER (WHERE event_name = 'item_purchase') AS first_purchase_at
FROM money
GROUP BY user_id
