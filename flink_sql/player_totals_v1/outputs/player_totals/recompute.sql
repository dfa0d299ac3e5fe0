-- The total of every player. DuckDB, over `player_totals`: the counted events before a cut, summed by player and team.
SELECT user_id, sum(total_score)::BIGINT AS total_score
FROM player_totals
GROUP BY user_id
