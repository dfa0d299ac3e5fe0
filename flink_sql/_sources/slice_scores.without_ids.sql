-- Events carry no ids: every accepted score is one, at its own event time.
CREATE TEMPORARY VIEW slice_scores AS
SELECT event_time AS slice_time, user_id, points, CAST(1 AS BIGINT) AS events
FROM checked_scores
WHERE points >= 0;
