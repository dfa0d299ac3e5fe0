-- The counted events of one season before the cut. ${start}, ${end}: its borders, milliseconds of event time.
CREATE TEMPORARY VIEW events AS
SELECT *
FROM counted_events
WHERE event_time_millis >= ${start} AND event_time_millis < ${end}
