-- The events of a day in the archive of what live metrics count.
CREATE OR REPLACE TEMP VIEW live_events AS
FROM enriched
WHERE
  reason IS NULL
  AND environment = 'production'
  AND event_time_millis >= getvariable('day_begins')
  AND event_time_millis < getvariable('day_ends')
