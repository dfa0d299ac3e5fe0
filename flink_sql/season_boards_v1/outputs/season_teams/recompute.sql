-- The teams with the highest totals. DuckDB, over `player_totals`: the counted events of the season before a
-- cut, summed by player and team.
-- $season: its start, milliseconds of the epoch.
-- $rows: how many ranks to give. Text compares by its UTF-8 bytes, as in Flink.
SELECT
  $season AS season_id,
  row_number() OVER (ORDER BY total_score DESC, team_id) AS rnk,
  team_id,
  team_name,
  total_score
FROM (
  SELECT team_id, max(team_name) AS team_name, sum(total_score)::BIGINT AS total_score
  FROM player_totals
  GROUP BY team_id
)
ORDER BY rnk
LIMIT $rows
