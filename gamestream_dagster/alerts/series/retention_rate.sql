-- Share of a cohort that came back on day N, by the newest cohort that the newest settled day knows it of.
WITH newest AS (
  SELECT max(date) AS date FROM retention WHERE date >= (now() AT TIME ZONE 'UTC')::date - 3
)
SELECT DISTINCT ON (retention.day_n)
  retention.day_n,
  retention.retention_rate AS value,
  retention.players,
  retention.cohort_date
FROM retention
JOIN newest ON newest.date = retention.date
ORDER BY retention.day_n, retention.cohort_date DESC
