-- The usual number of purchases: the median of the same weekday in the 4 weeks before the newest settled day, of at least two such days.
WITH newest AS (
  SELECT max(date) AS date FROM purchases_daily WHERE date >= (now() AT TIME ZONE 'UTC')::date - 3
)
SELECT
  percentile_disc(0.5) WITHIN GROUP (ORDER BY before.purchases) AS value,
  count(*) AS days,
  newest.date
FROM newest
JOIN purchases_daily AS before ON before.date IN (newest.date - 7, newest.date - 14, newest.date - 21, newest.date - 28)
GROUP BY newest.date
HAVING count(*) >= 2
