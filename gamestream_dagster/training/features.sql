-- The features of the levels and days in `asked`, from the seven days before. Rates and moves are weighted by attempts.
SELECT
  asked.date,
  asked.level_id,
  asked.weight,
  asked.target,
  sum(past.attempts) AS attempts_7d,
  sum(past.pass_rate * past.attempts) / sum(past.attempts) AS pass_rate_7d,
  sum(past.avg_moves * past.attempts) / sum(past.attempts) FILTER (past.avg_moves IS NOT NULL) AS avg_moves_7d,
  max(past.p95_moves) AS p95_moves_7d,
  sum(past.retry_rate * past.attempts) / sum(past.attempts) AS retry_rate_7d,
  sum(past.booster_usage_rate * past.attempts) / sum(past.attempts) AS booster_usage_rate_7d
FROM asked
JOIN level_features AS past
  ON past.level_id = asked.level_id AND past.date >= asked.date - 7 AND past.date < asked.date
GROUP BY asked.date, asked.level_id, asked.weight, asked.target
ORDER BY asked.date, asked.level_id
