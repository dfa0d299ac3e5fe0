-- The counted events before the cut, summed by player and team: what the boards of totals have in common.
CREATE OR REPLACE TEMP VIEW player_totals AS
SELECT user_id, team_id, max(team_name) AS team_name, sum(score)::BIGINT AS total_score
FROM events
GROUP BY user_id, team_id
