
-- ${title}: points and events of each player. Make it what the output is about; outputs/${name}/ describes the same.
CREATE TEMPORARY VIEW ${name} AS
SELECT user_id, SUM(points) AS total_score, COUNT(*) AS events
FROM ${counted}
WHERE points >= 0
GROUP BY user_id;
