WITH installed AS (
  SELECT user_id, max(date) AS install_day
  FROM installs
  GROUP BY user_id
),
payers AS (
  SELECT DISTINCT user_id
  FROM payers_daily
  WHERE purchases > 0
)
SELECT
  players.user_id,
  $day AS date,
  $day - installed.install_day AS days_since_install,
  payers.user_id IS NOT NULL AS is_paying_user
FROM user_daily_metrics AS players
LEFT JOIN installed ON installed.user_id = players.user_id
LEFT JOIN payers ON payers.user_id = players.user_id
