-- What players held of each currency at the beginning of the newest settled day, if that is one of the last three.
SELECT currency, opening_supply AS value, date
FROM economy_daily
WHERE date = (SELECT max(date) FROM economy_daily) AND date >= (now() AT TIME ZONE 'UTC')::date - 3
ORDER BY opening_supply DESC
LIMIT 50
