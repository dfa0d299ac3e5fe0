-- The rows of ${name} again, by DuckDB, over the counted events before a cut. $$rows: how many ranks to give.
SELECT row_number() OVER (ORDER BY total_score DESC, user_id) AS rnk, user_id, total_score
FROM (
  SELECT user_id, sum(score)::BIGINT AS total_score
  FROM events
  GROUP BY user_id
)
ORDER BY rnk
LIMIT $$rows
