-- The counted events of one season; its borders, in milliseconds of event time, are the variables season_start and season_end.
SELECT *
FROM counted_events
WHERE event_time_millis >= getvariable('season_start') AND event_time_millis < getvariable('season_end')
