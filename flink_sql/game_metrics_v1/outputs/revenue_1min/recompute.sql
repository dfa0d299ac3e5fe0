-- By DuckDB, over the events before a cut. `minute` is null for events that no metric counts, `currency` for other types.
SELECT
  minute, currency,
  count(*) AS purchases,
  sum(points)::BIGINT AS gross_micros,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= minute + 59999, false) AS final
FROM events
WHERE minute IS NOT NULL AND currency IS NOT NULL
GROUP BY minute, currency
