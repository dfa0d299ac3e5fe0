-- The events of one season, whose borders (milliseconds of event time) are in the variable `season`. ${counted}: the counted
-- ones, or those of a hypothesis.
CREATE OR REPLACE TEMP VIEW events AS
SELECT *
FROM ${counted}
WHERE event_time_millis >= getvariable('season').first AND event_time_millis < getvariable('season').after
