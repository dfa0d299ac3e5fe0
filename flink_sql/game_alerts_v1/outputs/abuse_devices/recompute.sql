-- By DuckDB, over the events before a cut. `device_day` and `device_id` are null for events that are no joins.
SELECT
  device_day, device_id,
  count(DISTINCT user_id) AS accounts,
  count(*) AS joins,
  max(event_1) AS event_1,
  max(event_2) AS event_2,
  max(event_3) AS event_3,
  max(event_4) AS event_4,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= device_day + 86399999, false) AS final
FROM events
WHERE device_day IS NOT NULL AND device_id IS NOT NULL
GROUP BY device_day, device_id
HAVING count(DISTINCT user_id) >= ${accounts_of_a_device}::BIGINT
