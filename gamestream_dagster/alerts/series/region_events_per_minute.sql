-- Events of each region per minute, an average over the last ten minutes of event time.
SELECT region, sum(events) / 10 AS value, max(as_of) AS as_of
FROM events_by_region_1min
WHERE minute > (SELECT max(minute) FROM events_by_region_1min) - INTERVAL '10 minutes' AND minute > now() - INTERVAL '1 hour'
GROUP BY region
ORDER BY 2 DESC
LIMIT 50
