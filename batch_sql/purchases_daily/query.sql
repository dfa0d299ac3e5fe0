WITH paid AS (
  SELECT
    coalesce(sum(purchases), 0) AS purchases,
    count(*) FILTER (WHERE purchases > 0) AS payers,
    coalesce(sum(revenue_usd), 0) AS revenue_usd
  FROM payers_daily
  WHERE date = $day
),
active AS (
  SELECT count(*) AS dau
  FROM user_daily_metrics
  WHERE date = $day
),
first_purchases AS (
  SELECT user_id, min(first_purchase_at) AS first_purchase_at
  FROM payers_daily
  WHERE purchases > 0
  GROUP BY user_id
  HAVING min(date) = $day
),
first_events AS (
  SELECT user_id, min(first_event_at) AS first_event_at
  FROM user_daily_metrics
  SEMI JOIN first_purchases USING (user_id)
  GROUP BY user_id
),
new_payers AS (
  SELECT
    count(*) AS new_payers,
    quantile_disc(epoch_ms(first_purchase_at) - epoch_ms(first_event_at), 0.5) AS p50_millis
  FROM first_purchases
  JOIN first_events USING (user_id)
)
SELECT
  $day AS date,
  active.dau,
  paid.purchases,
  paid.payers,
  paid.payers / nullif(active.dau, 0) AS conversion,
  new_payers.new_payers,
  paid.revenue_usd,
  CAST(paid.revenue_usd AS DOUBLE) / nullif(active.dau, 0) AS arpdau_usd,
  CAST(paid.revenue_usd AS DOUBLE) / nullif(paid.payers, 0) AS arppu_usd,
  new_payers.p50_millis / 3600000 AS p50_hours_to_first_purchase
FROM paid, active, new_payers
