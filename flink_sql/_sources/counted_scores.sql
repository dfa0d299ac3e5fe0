-- Every accepted record that is no copy. A copy has the user_id and event_id of one that this job counted before, less than
-- the horizon ago by its own clock, whatever else it says: the first by position counts. A player's records lie in one
-- partition, which the job reads in order; of an id in several partitions the first one read counts. The horizon is the setting `dedup` of the topic; where events carry no ids,
-- counted_scores.without_ids.sql stands here.
--
-- The horizon is the TTL of this one operator's state; every other state is kept for ever. No SQL can say that: it is set in
-- the compiled plan when the job is submitted (gamestream_dagster/flink_jobs/execute/submission.py).
CREATE TEMPORARY VIEW counted_scores AS
SELECT
  user_id,
  team_id,
  team_name,
  event_time,
  kafka_partition,
  minute_millis,
  points
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY user_id, event_id ORDER BY proc_time) AS copy
  FROM checked_scores
  -- a refused record is no first copy
  WHERE points >= 0 AND event_id IS NOT NULL
)
WHERE copy = 1
UNION ALL
-- a record without an id is a copy of nothing
SELECT
  user_id,
  team_id,
  team_name,
  event_time,
  kafka_partition,
  minute_millis,
  points
FROM checked_scores
WHERE points >= 0 AND event_id IS NULL;
