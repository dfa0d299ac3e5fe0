WITH same_weekdays AS (
  SELECT
    event_name,
    coalesce(sum(events) FILTER (WHERE date = $day), 0) AS events,
    count(*) FILTER (WHERE date < $day) AS days,
    quantile_disc(events, 0.5) FILTER (WHERE date < $day) AS median
  FROM event_counts
  WHERE dayofweek(date) = dayofweek($day)
  GROUP BY event_name
)
SELECT
  event_name,
  $day AS date,
  events,
  CASE WHEN days >= 2 THEN median END AS usual,
  CASE WHEN days >= 2 THEN events / median END AS share_of_usual
FROM same_weekdays
