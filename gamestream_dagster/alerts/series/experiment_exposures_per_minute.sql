-- Exposures of each variant per minute, an average over the last ten minutes of event time.
SELECT experiment, variant, sum(exposures) / 10 AS value, max(as_of) AS as_of
FROM ab_live
WHERE minute > (SELECT max(minute) FROM ab_live) - INTERVAL '10 minutes' AND minute > now() - INTERVAL '1 hour'
GROUP BY experiment, variant
ORDER BY 3 DESC
LIMIT 50
