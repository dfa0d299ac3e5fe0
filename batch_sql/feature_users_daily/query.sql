SELECT parameters ->> '$.feature' AS feature, user_id, $day AS date, count(*) AS uses
FROM events
WHERE event_name = 'feature_used' AND parameters ->> '$.feature' <> ''
GROUP BY ALL
