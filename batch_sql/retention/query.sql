WITH numbers AS (
  SELECT unnest([1, 3, 7, 14, 30]) AS day_n
),
players AS (
  SELECT
    installs.date AS cohort_date,
    numbers.day_n,
    installs.user_id,
    installs.date + numbers.day_n AS day_date,
    installs.installed_at + numbers.day_n * INTERVAL 24 HOUR AS day_from,
    installs.installed_at + (numbers.day_n + 1) * INTERVAL 24 HOUR AS day_until
  FROM installs
  JOIN numbers ON installs.date + numbers.day_n <= $day
),
-- the 24 hours of a player's day N lie in two calendar days: the end of the one, the beginning of the other
came_back AS (
  SELECT
    players.cohort_date,
    players.day_n,
    players.user_id,
    coalesce(bool_or(active.date = players.day_date), false) AS retained,
    coalesce(
      bool_or(
        (active.date = players.day_date AND active.last_event_at >= players.day_from)
        OR (active.date = players.day_date + 1 AND active.first_event_at < players.day_until)
      ),
      false
    ) AS retained_24h,
    coalesce(bool_or(active.date >= players.day_date), false) AS retained_unbounded
  FROM players
  LEFT JOIN user_daily_metrics AS active ON players.user_id = active.user_id AND active.date >= players.day_date
  GROUP BY players.cohort_date, players.day_n, players.user_id
),
counted AS (
  SELECT
    cohort_date,
    day_n,
    count(*) AS players,
    count(*) FILTER (WHERE retained) AS retained,
    CASE WHEN cohort_date + day_n < $day THEN count(*) FILTER (WHERE retained_24h) END AS retained_24h,
    count(*) FILTER (WHERE retained_unbounded) AS retained_unbounded
  FROM came_back
  GROUP BY cohort_date, day_n
)
SELECT
  $day AS date,
  cohort_date,
  day_n,
  players,
  retained,
  retained / players AS retention_rate,
  retained_24h,
  retained_24h / players AS retention_rate_24h,
  retained_unbounded,
  retained_unbounded / players AS retention_rate_unbounded
FROM counted
