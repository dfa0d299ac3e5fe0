WITH spans AS (
  SELECT
    count(DISTINCT user_id) FILTER (WHERE date = $day) AS dau,
    count(DISTINCT user_id) FILTER (WHERE date > $day - 7) AS wau,
    count(DISTINCT user_id) AS mau -- the window holds 30 days
  FROM user_daily_metrics
)
SELECT $day AS date, dau, wau, mau, dau / nullif(mau, 0) AS stickiness
FROM spans
