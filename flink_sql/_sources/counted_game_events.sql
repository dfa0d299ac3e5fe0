-- Accepted events with their place among those of one user_id and event_id, and the digest of the first of them. This is
-- the one operator that remembers ids: for the horizon of the topic's `dedup`, which each copy renews. It is set in the
-- compiled plan when the job is submitted (gamestream_dagster/flink_jobs/execute/submission.py).
CREATE TEMPORARY VIEW told_game_events AS
SELECT *, COUNT(*) OVER ids AS copy, FIRST_VALUE(digest) OVER ids AS first_digest
FROM checked_game_events
WHERE points = 1
WINDOW ids AS (
  PARTITION BY user_id, event_id ORDER BY proc_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
);

-- Every accepted event that is no copy: of an id the first by position counts.
CREATE TEMPORARY VIEW counted_game_events AS
SELECT * FROM told_game_events WHERE copy = 1;
