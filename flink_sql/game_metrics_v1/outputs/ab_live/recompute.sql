-- By DuckDB, over the events before a cut. `minute` is null for events that no metric counts, `variant` for other types.
SELECT
  minute, experiment, variant,
  count(*) AS exposures,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= minute + 59999, false) AS final
FROM events
WHERE minute IS NOT NULL AND variant IS NOT NULL
GROUP BY minute, experiment, variant
