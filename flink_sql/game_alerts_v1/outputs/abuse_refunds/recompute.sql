-- By DuckDB, over the events before a cut. `refund_day` is null for events that are no refunds.
SELECT
  refund_day, user_id,
  count(*) AS refunds,
  sum(points)::BIGINT AS refunded_micros,
  max(event_1) AS event_1,
  max(event_2) AS event_2,
  max(event_3) AS event_3,
  max(event_4) AS event_4,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= refund_day + 86399999, false) AS final
FROM events
WHERE refund_day IS NOT NULL
GROUP BY refund_day, user_id
HAVING count(*) >= ${refunds_of_a_day}::BIGINT
