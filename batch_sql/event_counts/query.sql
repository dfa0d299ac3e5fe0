SELECT
  event_name,
  $day AS date,
  count(*) AS events,
  count(DISTINCT user_id) AS players,
  count(*) FILTER (WHERE session_id IS NULL) AS without_session,
  count(*) FILTER (WHERE platform IS NULL) AS without_platform,
  count(*) FILTER (WHERE app_version IS NULL) AS without_app_version
FROM events
GROUP BY event_name
