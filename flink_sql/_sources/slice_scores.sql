-- The accepted scores by slices of 5 s of event time, each event once: a copy has the same event time, hence the same slice.
-- The copies of a slice are one row when the slice ends; a copy that comes later than that is late, and dropped as such.
-- Where events carry no ids, slice_scores.without_ids.sql stands here.
CREATE TEMPORARY VIEW accepted_scores AS
SELECT
  user_id, event_id, event_time, points,
  -- a record without an id is a copy of nothing: its place stands for the id
  CASE WHEN event_id IS NULL THEN kafka_partition END AS own_partition,
  CASE WHEN event_id IS NULL THEN kafka_offset END AS own_offset
FROM checked_scores
WHERE points >= 0;

CREATE TEMPORARY VIEW slice_scores AS
SELECT window_time AS slice_time, user_id, MIN(points) AS points
FROM TUMBLE(TABLE accepted_scores, DESCRIPTOR(event_time), INTERVAL '5' SECOND)
GROUP BY window_start, window_end, window_time, user_id, event_id, own_partition, own_offset;
