WITH moves AS (
  SELECT
    user_id,
    parameters ->> '$.currency' AS currency,
    event_name,
    CAST(parameters ->> '$.amount' AS DECIMAL(38, 6)) AS amount
  FROM events
  WHERE event_name IN ('currency_earned', 'currency_spent')
)
SELECT
  user_id,
  currency,
  $day AS date,
  coalesce(sum(amount) FILTER (WHERE event_name = 'currency_earned'), 0) AS earned,
  coalesce(sum(amount) FILTER (WHERE event_name = 'currency_spent'), 0) AS spent
FROM moves
GROUP BY user_id, currency
