-- Events carry no ids: every accepted score counts, as one row for each player and slice of 5 s. A score that comes after
-- the end of its slice is late, as where events carry ids.
CREATE TEMPORARY VIEW accepted_scores AS
SELECT user_id, event_time, points
FROM checked_scores
WHERE points >= 0;

CREATE TEMPORARY VIEW slice_scores AS
SELECT window_time AS slice_time, user_id, SUM(points) AS points, COUNT(*) AS events
FROM TUMBLE(TABLE accepted_scores, DESCRIPTOR(event_time), INTERVAL '5' SECOND)
GROUP BY window_start, window_end, window_time, user_id;
