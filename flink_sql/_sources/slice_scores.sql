-- The counted scores by slices of 5 s of event time, one row for each player and slice. Copies are out already
-- (counted_scores.sql): of an id the first record by position counts, in the slice of its own event time. A score that
-- arrives after the end of its slice is late and is dropped.
CREATE TEMPORARY VIEW slice_scores AS
SELECT window_time AS slice_time, user_id, SUM(points) AS points, COUNT(*) AS events
FROM TUMBLE(TABLE counted_scores, DESCRIPTOR(event_time), INTERVAL '5' SECOND)
WHERE points >= 0
GROUP BY window_start, window_end, window_time, user_id;
