-- By DuckDB, over the events before a cut. `session_id` is null for events that no metric counts.
SELECT
  user_id, session_id,
  min(event_time_millis) AS started_at,
  max(event_time_millis) AS last_event_at,
  count(*) AS events,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= max(event_time_millis) + 1799999, false) AS closed
FROM events
WHERE session_id IS NOT NULL
GROUP BY user_id, session_id
