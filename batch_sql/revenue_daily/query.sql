WITH money AS (
  SELECT
    event_name,
    user_id,
    CASE
      WHEN parameters ->> '$.price_usd' IS NOT NULL THEN CAST(parameters ->> '$.price_usd' AS DECIMAL(38, 6))
      WHEN parameters ->> '$.currency' = 'USD' THEN CAST(parameters ->> '$.price' AS DECIMAL(38, 6))
    END AS usd
  FROM events
  WHERE event_name IN ('item_purchase', 'refund')
),
summed AS (
  SELECT
    count(*) FILTER (WHERE event_name = 'item_purchase') AS purchases,
    count(DISTINCT user_id) FILTER (WHERE event_name = 'item_purchase') AS payers,
    coalesce(sum(usd) FILTER (WHERE event_name = 'item_purchase'), 0) AS gross_usd,
    count(*) FILTER (WHERE event_name = 'refund') AS refunds,
    coalesce(sum(usd) FILTER (WHERE event_name = 'refund'), 0) AS refunds_usd,
    count(*) FILTER (WHERE event_name = 'item_purchase' AND usd IS NULL) AS unpriced_purchases
  FROM money
)
SELECT
  $day AS date,
  purchases,
  payers,
  gross_usd,
  refunds,
  refunds_usd,
  gross_usd - refunds_usd AS net_usd,
  unpriced_purchases
FROM summed
