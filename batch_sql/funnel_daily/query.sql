WITH players AS (
  SELECT
    user_id,
    count(*) FILTER (WHERE event_name = 'level_start') > 0 AS started,
    count(*) FILTER (WHERE event_name = 'level_complete') > 0 AS completed,
    count(*) FILTER (WHERE event_name = 'item_purchase') > 0 AS bought
  FROM events
  WHERE user_id IS NOT NULL
  GROUP BY user_id
),
counted AS (
  SELECT
    count(*) AS played,
    count(*) FILTER (WHERE started) AS started,
    count(*) FILTER (WHERE started AND completed) AS completed,
    count(*) FILTER (WHERE started AND completed AND bought) AS bought
  FROM players
),
steps AS (
  SELECT '1 played' AS step, played AS players, played AS all_players, NULL::BIGINT AS previous
  FROM counted
  UNION ALL
  SELECT '2 started a level', started, played, played
  FROM counted
  UNION ALL
  SELECT '3 completed a level', completed, played, started
  FROM counted
  UNION ALL
  SELECT '4 bought something', bought, played, completed
  FROM counted
)
SELECT
  step,
  $day AS date,
  players,
  players / nullif(all_players, 0) AS share_of_all,
  players / nullif(previous, 0) AS share_of_previous
FROM steps
