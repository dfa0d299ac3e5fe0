WITH level_events AS (
  SELECT
    user_id,
    event_name,
    CAST(parameters ->> '$.level_id' AS BIGINT) AS level_id,
    CAST(parameters ->> '$.moves_used' AS BIGINT) AS moves,
    -- of a fixed scale: a sum of doubles depends on their order
    CAST(parameters ->> '$.time_seconds' AS DECIMAL(38, 6)) AS seconds,
    coalesce(CAST(parameters ->> '$.boosters_used' AS BIGINT), 0) > 0 AS boosted
  FROM events
  WHERE event_name IN ('level_start', 'level_complete', 'level_fail')
),
players AS (
  SELECT
    level_id,
    user_id,
    count(*) FILTER (WHERE event_name = 'level_start') AS starts,
    count(*) FILTER (WHERE event_name = 'level_complete') AS completions,
    greatest(
      count(*) FILTER (WHERE event_name = 'level_start' AND boosted),
      count(*) FILTER (WHERE event_name <> 'level_start' AND boosted)
    ) AS boosted
  FROM level_events
  GROUP BY level_id, user_id
),
rates AS (
  SELECT
    level_id,
    sum(starts) AS attempts,
    sum(completions) AS completions,
    sum(least(completions, starts)) AS passed,
    sum(least(boosted, starts)) AS boosted,
    sum(greatest(starts - 1, 0)) AS retries,
    count(*) AS unique_players
  FROM players
  GROUP BY level_id
),
completed AS (
  SELECT
    level_id,
    CAST(sum(moves) AS DOUBLE) / nullif(count(moves), 0) AS avg_moves,
    CAST(sum(seconds) AS DOUBLE) / nullif(count(seconds), 0) AS avg_time_seconds,
    quantile_disc(moves, 0.5) AS p50_moves,
    quantile_disc(moves, 0.95) AS p95_moves
  FROM level_events
  WHERE event_name = 'level_complete'
  GROUP BY level_id
)
SELECT
  rates.level_id,
  $day AS date,
  rates.attempts,
  rates.completions,
  rates.passed / nullif(rates.attempts, 0) AS pass_rate,
  completed.avg_moves,
  completed.avg_time_seconds,
  completed.p50_moves,
  completed.p95_moves,
  rates.unique_players,
  rates.boosted / nullif(rates.attempts, 0) AS booster_usage_rate,
  rates.retries / nullif(rates.attempts, 0) AS retry_rate
FROM rates
LEFT JOIN completed USING (level_id)
