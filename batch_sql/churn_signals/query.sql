WITH habits AS (
  SELECT
    user_id,
    coalesce(sum(sessions) FILTER (WHERE date > $day - 7), 0) AS sessions_7d,
    coalesce(sum(sessions) FILTER (WHERE date <= $day - 7), 0) AS sessions_28d_before,
    max(date) AS last_active
  FROM user_daily_metrics
  GROUP BY user_id
)
SELECT
  user_id,
  $day AS date,
  sessions_7d,
  sessions_28d_before,
  sessions_28d_before / 4 AS habit_per_week,
  sessions_7d * 4 / sessions_28d_before AS share_of_habit,
  last_active,
  CASE
    WHEN sessions_7d = 0 THEN 'lapsed'
    WHEN sessions_7d * 8 < sessions_28d_before THEN 'at_risk'
    ELSE 'steady'
  END AS signal
FROM habits
WHERE sessions_28d_before >= 4
