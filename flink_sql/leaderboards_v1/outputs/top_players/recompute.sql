-- The players with the highest totals. DuckDB, over `player_totals`: the counted events before a cut, summed
-- by player and team. $rows: how many ranks to give. Text compares by its UTF-8 bytes, as in Flink.
SELECT
  row_number() OVER (ORDER BY total_score DESC, user_id) AS rnk,
  user_id,
  team_name,
  total_score
FROM (
  SELECT user_id, max(team_name) AS team_name, sum(total_score)::BIGINT AS total_score
  FROM player_totals
  GROUP BY user_id
)
ORDER BY rnk
LIMIT $rows
