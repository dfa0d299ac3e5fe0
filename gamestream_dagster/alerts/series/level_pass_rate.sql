-- Share of the attempts at the most played levels that were completed, of the newest settled day, if that is one of the last three.
SELECT level_id, pass_rate AS value, date
FROM level_metrics
WHERE date = (SELECT max(date) FROM level_metrics) AND date >= (now() AT TIME ZONE 'UTC')::date - 3
ORDER BY attempts DESC
LIMIT 50
