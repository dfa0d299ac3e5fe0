WITH of_players AS (
  SELECT *
  FROM events
  -- of the day before only what a session of the day can go on from
  WHERE user_id IS NOT NULL AND "timestamp" >= CAST($day AS TIMESTAMP) - INTERVAL 30 MINUTE
),
in_sessions AS (
  SELECT
    user_id,
    event_date,
    "timestamp",
    lag("timestamp") OVER (PARTITION BY user_id, session_id ORDER BY "timestamp") AS previous
  FROM of_players
  WHERE session_id IS NOT NULL
),
sessions AS (
  SELECT user_id, count(*) AS sessions
  FROM in_sessions
  WHERE event_date = $day AND (previous IS NULL OR "timestamp" - previous > INTERVAL 30 MINUTE)
  GROUP BY user_id
),
days AS (
  SELECT
    user_id,
    count(*) AS events,
    min("timestamp") AS first_event_at,
    max("timestamp") AS last_event_at,
    -- CASE and not FILTER: only the events that count are parsed
    count(DISTINCT CASE WHEN event_name = 'level_start' THEN parameters ->> '$.level_id' END) AS levels_played,
    count(*) FILTER (WHERE event_name = 'level_complete') AS levels_completed,
    sum(
      CASE
        WHEN event_name IN ('level_complete', 'level_fail') THEN
          CAST(parameters ->> '$.duration_sec' AS DECIMAL(38, 6))
      END
    ) AS seconds,
    sum(
      CASE
        WHEN event_name <> 'item_purchase' THEN NULL
        WHEN parameters ->> '$.price_usd' IS NOT NULL THEN CAST(parameters ->> '$.price_usd' AS DECIMAL(38, 6))
        WHEN parameters ->> '$.currency' = 'USD' THEN CAST(parameters ->> '$.price' AS DECIMAL(38, 6))
      END
    ) AS revenue
  FROM of_players
  WHERE event_date = $day
  GROUP BY user_id
)
SELECT
  days.user_id,
  $day AS date,
  coalesce(sessions.sessions, 0) AS sessions,
  days.events,
  days.levels_played,
  days.levels_completed,
  CAST(coalesce(days.seconds, 0) AS DOUBLE) / 60 AS playtime_minutes,
  coalesce(days.revenue, 0) AS revenue_usd,
  days.first_event_at,
  days.last_event_at
FROM days
LEFT JOIN sessions USING (user_id)
