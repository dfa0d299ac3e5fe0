WITH openings AS (
  SELECT user_id, currency, sum(earned) - sum(spent) AS opening
  FROM wallet_moves
  WHERE date < $day
  GROUP BY user_id, currency
),
moves AS (
  SELECT
    user_id,
    parameters ->> '$.currency' AS currency,
    event_id,
    "timestamp",
    CAST(parameters ->> '$.amount' AS DECIMAL(38, 6)) * CASE event_name WHEN 'currency_earned' THEN 1 ELSE -1 END AS amount
  FROM events
  WHERE event_name IN ('currency_earned', 'currency_spent')
),
balances AS (
  SELECT
    moves.user_id,
    moves.currency,
    moves.event_id,
    row_number() OVER in_order AS place,
    coalesce(openings.opening, 0) + sum(moves.amount) OVER in_order AS balance
  FROM moves
  LEFT JOIN openings ON moves.user_id = openings.user_id AND moves.currency = openings.currency
  WINDOW in_order AS (
    PARTITION BY moves.user_id, moves.currency
    ORDER BY moves."timestamp", moves.amount DESC, moves.event_id
    ROWS UNBOUNDED PRECEDING
  )
),
closings AS (
  SELECT
    user_id,
    currency,
    arg_max(balance, place) AS closing,
    min(balance) AS lowest,
    arg_min(event_id, place) FILTER (WHERE balance < 0) AS overdrawn_by
  FROM balances
  GROUP BY user_id, currency
)
SELECT
  today.user_id,
  today.currency,
  $day AS date,
  coalesce(openings.opening, 0) AS opening,
  today.earned,
  today.spent,
  closings.closing,
  closings.lowest,
  closings.overdrawn_by
FROM wallet_moves AS today
LEFT JOIN openings ON today.user_id = openings.user_id AND today.currency = openings.currency
LEFT JOIN closings ON today.user_id = closings.user_id AND today.currency = closings.currency
WHERE today.date = $day
