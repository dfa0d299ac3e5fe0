-- What players earned less what they spent, as a share of what they held before, of the newest settled day, if that is one of the last three.
SELECT currency, inflation AS value, date
FROM economy_daily
WHERE date = (SELECT max(date) FROM economy_daily) AND date >= (now() AT TIME ZONE 'UTC')::date - 3
ORDER BY opening_supply DESC
LIMIT 50
