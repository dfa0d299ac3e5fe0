SELECT user_id, $day AS date, min(first_event_at) AS installed_at
FROM user_daily_metrics
GROUP BY user_id
HAVING min(date) = $day
