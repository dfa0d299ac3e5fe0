WITH ordered AS (
  SELECT
    user_id,
    session_id,
    "timestamp",
    lag("timestamp") OVER (PARTITION BY user_id, session_id ORDER BY "timestamp") AS previous
  FROM events
  WHERE user_id IS NOT NULL AND session_id IS NOT NULL
),
numbered AS (
  SELECT
    user_id,
    session_id,
    "timestamp",
    count(*) FILTER (WHERE previous IS NULL OR "timestamp" - previous > INTERVAL 30 MINUTE) OVER (
      PARTITION BY user_id, session_id ORDER BY "timestamp" ROWS UNBOUNDED PRECEDING
    ) AS part
  FROM ordered
),
sessions AS (
  SELECT user_id, min("timestamp") AS started, max("timestamp") AS ended, count(*) AS events
  FROM numbered
  GROUP BY user_id, session_id, part
),
started AS (
  SELECT count(*) AS sessions, count(DISTINCT user_id) AS players
  FROM sessions
  WHERE CAST(started AS DATE) = $day
),
closed AS (
  SELECT
    count(*) AS sessions,
    sum(epoch_ms(ended) - epoch_ms(started)) AS millis,
    quantile_disc(epoch_ms(ended) - epoch_ms(started), 0.5) AS p50_millis,
    quantile_disc(epoch_ms(ended) - epoch_ms(started), 0.95) AS p95_millis,
    sum(events) AS events,
    count(*) FILTER (WHERE events = 1) AS single
  FROM sessions
  WHERE
    ended >= CAST($day AS TIMESTAMP) - INTERVAL 30 MINUTE
    AND ended < CAST($day AS TIMESTAMP) + INTERVAL 23 HOUR + INTERVAL 30 MINUTE
),
of_players AS (
  SELECT coalesce(sum(sessions), 0) AS sessions
  FROM user_daily_metrics
)
SELECT
  $day AS date,
  started.sessions,
  started.players,
  started.sessions / nullif(started.players, 0) AS sessions_per_player,
  closed.sessions AS closed_sessions,
  closed.millis / nullif(closed.sessions, 0) / 60000 AS avg_minutes,
  closed.p50_millis / 60000 AS p50_minutes,
  closed.p95_millis / 60000 AS p95_minutes,
  closed.events / nullif(closed.sessions, 0) AS events_per_session,
  closed.single AS single_event_sessions,
  started.sessions - of_players.sessions AS orphan_sessions
FROM started, closed, of_players
