-- The total of every player: the sums that `top_players` ranks.
CREATE TEMPORARY VIEW player_totals AS
SELECT user_id, SUM(points) AS total_score
FROM counted_scores
WHERE points >= 0
GROUP BY user_id;
