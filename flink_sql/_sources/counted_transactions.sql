-- Accepted transactions with their place among the records of their id, and what the first of them said. This is the one
-- operator that remembers ids: for the horizon of the topic's `dedup`, which each copy renews. It is set in the compiled plan
-- when the job is submitted (gamestream_dagster/flink_jobs/execute/submission.py).
CREATE TEMPORARY VIEW told_transactions AS
SELECT
  *,
  COUNT(*) OVER ids AS copy,
  FIRST_VALUE(user_id) OVER ids AS first_user_id,
  FIRST_VALUE(transaction_type) OVER ids AS first_type,
  FIRST_VALUE(points) OVER ids AS first_points,
  FIRST_VALUE(currency) OVER ids AS first_currency,
  FIRST_VALUE(kafka_time) OVER ids AS first_kafka_time,
  FIRST_VALUE(kafka_offset) OVER ids AS first_offset
FROM checked_transactions
WHERE points >= 0
WINDOW ids AS (PARTITION BY event_id ORDER BY proc_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

-- Every accepted transaction that is no copy: of an id the first by position counts.
CREATE TEMPORARY VIEW counted_transactions AS
SELECT * FROM told_transactions WHERE copy = 1;
