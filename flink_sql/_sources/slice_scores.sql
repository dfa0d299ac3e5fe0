-- The accepted scores by slices of 5 s of event time, each event once: a copy has the same event time, hence the same slice.
-- The copies of a slice are one row when the slice ends; a copy that comes later than that is late, and dropped as such.
-- Records without an id are copies of nothing: they are all counted, as one row for each player.
-- Where events carry no ids, slice_scores.without_ids.sql stands here.
CREATE TEMPORARY VIEW accepted_scores AS
SELECT user_id, event_id, event_time, points
FROM checked_scores
WHERE points >= 0;

CREATE TEMPORARY VIEW slice_scores AS
SELECT
  window_time AS slice_time, user_id,
  CASE WHEN event_id IS NULL THEN SUM(points) ELSE MIN(points) END AS points,
  CASE WHEN event_id IS NULL THEN COUNT(*) ELSE CAST(1 AS BIGINT) END AS events
FROM TUMBLE(TABLE accepted_scores, DESCRIPTOR(event_time), INTERVAL '5' SECOND)
GROUP BY window_start, window_end, window_time, user_id, event_id;
