-- By DuckDB, over the events before a cut. `minute` is null for events that no metric counts, `refund_currency` for other types.
SELECT
  minute, refund_currency,
  count(*) AS refunds,
  sum(points)::BIGINT AS refunded_micros,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= minute + 59999, false) AS final
FROM events
WHERE minute IS NOT NULL AND refund_currency IS NOT NULL
GROUP BY minute, refund_currency
