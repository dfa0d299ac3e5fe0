-- Revenue after refunds, US dollars, of the newest settled day, if that is one of the last three.
SELECT net_usd AS value, date
FROM revenue_daily
WHERE date >= (now() AT TIME ZONE 'UTC')::date - 3
ORDER BY date DESC
LIMIT 1
