-- Events of a day in the archive of what live metrics count whose players were erased, as far as their counts are kept.
CREATE OR REPLACE TEMP VIEW erased_live AS
FROM enriched
WHERE
  reason = 'ERASED'
  AND environment = 'production'
  AND event_time_millis >= getvariable('day_begins')
  AND event_time_millis < getvariable('day_ends')
