SELECT level_id, date, attempts, pass_rate, avg_moves, p95_moves, retry_rate, booster_usage_rate
FROM level_metrics
WHERE attempts > 0
