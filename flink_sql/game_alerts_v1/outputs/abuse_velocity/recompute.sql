-- By DuckDB, over the events before a cut. `purchase_window` is null for events that are no purchases.
SELECT
  purchase_window, user_id,
  count(*) AS purchases,
  max(event_1) AS event_1,
  max(event_2) AS event_2,
  max(event_3) AS event_3,
  max(event_4) AS event_4,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= purchase_window + 599999, false) AS final
FROM events
WHERE purchase_window IS NOT NULL
GROUP BY purchase_window, user_id
HAVING count(*) >= ${velocity_purchases}::BIGINT
