WITH active AS (
  SELECT count(*) AS dau
  FROM user_daily_metrics
),
features AS (
  SELECT
    feature,
    count(*) FILTER (WHERE date = $day) AS players, -- a player has one row a day
    coalesce(sum(uses) FILTER (WHERE date = $day), 0) AS uses,
    count(DISTINCT user_id) AS players_30d
  FROM feature_users_daily
  GROUP BY feature
)
SELECT
  features.feature,
  $day AS date,
  features.players,
  features.uses,
  features.players / nullif(active.dau, 0) AS adoption,
  features.uses / nullif(features.players, 0) AS frequency,
  features.players_30d,
  features.players / features.players_30d AS stickiness
FROM features, active
