-- Players of the 30 days up to the end of the newest settled day, if that is one of the last three.
SELECT mau AS value, date
FROM active_users
WHERE date >= (now() AT TIME ZONE 'UTC')::date - 3
ORDER BY date DESC
LIMIT 1
