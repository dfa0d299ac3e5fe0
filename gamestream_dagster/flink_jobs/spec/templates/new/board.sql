
-- ${title}: ten players by their points. Make it what the board is about; outputs/${name}/ describes the same.
CREATE TEMPORARY VIEW ${name} AS
SELECT rnk, user_id, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total_score DESC, user_id ASC) AS rnk
  FROM (
    SELECT user_id, SUM(points) AS total_score
    FROM ${counted}
    -- Right under the SUM this proves that no total ever falls, so that the rank keeps ten rows and not every player. The
    -- name keeps the filter apart from those of other views: where views share it, the proof is lost.
    WHERE points >= 0 AND '${name}' <> ''
    GROUP BY user_id
  )
)
WHERE rnk <= 10;
