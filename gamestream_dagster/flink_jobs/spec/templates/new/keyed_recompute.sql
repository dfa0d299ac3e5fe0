-- The rows of ${name} again, by DuckDB, over the counted events before a cut.
SELECT user_id, sum(score)::BIGINT AS total_score, count(*) AS events
FROM events
GROUP BY user_id
