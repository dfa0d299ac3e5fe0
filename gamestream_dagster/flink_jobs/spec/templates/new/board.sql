
-- ${title}: ten players by their points. Make it what the board is about; outputs/${name}/ describes the same.
CREATE TEMPORARY VIEW ${name} AS
SELECT rnk, user_id, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total_score DESC, user_id ASC) AS rnk
  FROM (
    SELECT user_id, SUM(points) AS total_score
    FROM ${counted}
    -- right under the SUM: it proves that no total ever falls, and the rank keeps ten rows and not every player
    WHERE points >= 0
    GROUP BY user_id
  )
)
WHERE rnk <= 10;
