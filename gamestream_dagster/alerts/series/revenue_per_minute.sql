-- Revenue per minute in each currency, before refunds, an average over the last ten minutes of event time.
SELECT currency, sum(gross_micros) / 1000000 / 10 AS value, max(as_of) AS as_of
FROM revenue_1min
WHERE minute > (SELECT max(minute) FROM revenue_1min) - INTERVAL '10 minutes' AND minute > now() - INTERVAL '1 hour'
GROUP BY currency
ORDER BY 2 DESC
LIMIT 50
