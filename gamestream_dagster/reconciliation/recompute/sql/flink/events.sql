-- The counted events before the cut, of all time.
CREATE TEMPORARY VIEW events AS
SELECT *
FROM counted_events
