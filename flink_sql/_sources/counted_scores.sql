-- Every record that could be read, with `points`: the score if the record is accepted and no copy, else NULL.
-- A copy has the user_id and event_id of an accepted record that came less than the horizon before it, by this job's clock.
-- The horizon is the setting `event_ids` of the topic; where events carry no ids, counted_scores.without_ids.sql stands here.
--
-- The window needs no TTL: it keeps an id for the horizon and half of it again, and then forgets it. It lets all rows
-- through, so that the sums behind it only ever add.
CREATE TEMPORARY VIEW counted_scores AS
SELECT
  user_id,
  team_id,
  team_name,
  kafka_partition,
  minute_millis,
  CASE
    WHEN COUNT(points) OVER (
      -- a record without an id is a copy of nothing: its place stands for the id
      PARTITION BY
        user_id, event_id,
        CASE WHEN event_id IS NULL THEN kafka_partition END, CASE WHEN event_id IS NULL THEN kafka_offset END
      ORDER BY proc_time
      RANGE BETWEEN INTERVAL '${event_id_horizon}' DAY TO SECOND PRECEDING AND CURRENT ROW
    ) = 1
    THEN points
  END AS points
FROM checked_scores;
