-- Purchases of the newest settled day, if that is one of the last three.
SELECT purchases AS value, date
FROM purchases_daily
WHERE date >= (now() AT TIME ZONE 'UTC')::date - 3
ORDER BY date DESC
LIMIT 1
