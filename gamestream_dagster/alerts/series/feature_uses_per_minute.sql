-- Uses of each feature per minute, an average over the last ten minutes of event time.
SELECT feature, sum(uses) / 10 AS value, max(as_of) AS as_of
FROM feature_adoption_1min
WHERE minute > (SELECT max(minute) FROM feature_adoption_1min) - INTERVAL '10 minutes' AND minute > now() - INTERVAL '1 hour'
GROUP BY feature
ORDER BY 2 DESC
LIMIT 50
