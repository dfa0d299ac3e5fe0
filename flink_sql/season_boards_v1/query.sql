-- The boards of leaderboards_v1 within each season, from one scan of `user-score`: `season_id` is part of every key.
--
-- What query.sql of leaderboards_v1 says of its shape holds here too: the three spellings of `points >= 0` let the planner
-- prove that no sum ever falls, so that a rank keeps ten rows of a season and not every player.
-- The sums of a season that has ended are kept: there is no time limit on state here, for an expired sum would begin again
-- at 0 in silence. Where seasons are short and many, `gamestream jobs apply season_boards_v1 --replay` begins anew.

CREATE TEMPORARY VIEW season_teams AS
SELECT season_id, rnk, team_id, team_name, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY season_id ORDER BY total_score DESC, team_id ASC) AS rnk
  FROM (
    SELECT season_id, team_id, MAX(team_name) AS team_name, SUM(player_total) AS total_score
    FROM (
      SELECT season_id, user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
      FROM season_scores
      WHERE NOT (points < 0)
      GROUP BY season_id, user_id, team_id
    )
    GROUP BY season_id, team_id
  )
)
WHERE rnk <= 10;

CREATE TEMPORARY VIEW season_players AS
SELECT season_id, rnk, user_id, team_name, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY season_id ORDER BY total_score DESC, user_id ASC) AS rnk
  FROM (
    SELECT season_id, user_id, MAX(team_name) AS team_name, SUM(player_total) AS total_score
    FROM (
      SELECT season_id, user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
      FROM season_scores
      WHERE points >= 0
      GROUP BY season_id, user_id, team_id
    )
    GROUP BY season_id, user_id
  )
)
WHERE rnk <= 10;

CREATE TEMPORARY VIEW season_player_totals AS
SELECT season_id, user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
FROM season_scores
WHERE points >= 0 OR points > 0
GROUP BY season_id, user_id, team_id;

-- The best player of a team and season before the join, and the share as a decimal, in two lengths: as in leaderboards_v1.
CREATE TEMPORARY VIEW season_mvps AS
SELECT
  season_id, rnk, team_id, team_name, user_id, player_total, team_total,
  -- from the integers: of a small share 19 places leave few digits
  CAST(player_total AS DOUBLE) / CAST(team_total AS DOUBLE) AS contrib_ratio
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY season_id ORDER BY CAST(share AS DECIMAL(18, 17)) DESC, share DESC, team_id ASC
    ) AS rnk
  FROM (
    SELECT
      t.season_id, t.team_id, t.team_name, best.user_id, best.player_total, t.team_total,
      CAST(best.player_total AS DECIMAL(19, 0)) / CAST(t.team_total AS DECIMAL(19, 0)) AS share
    FROM (
      SELECT season_id, team_id, user_id, player_total
      FROM (
        SELECT
          *, ROW_NUMBER() OVER (PARTITION BY season_id, team_id ORDER BY player_total DESC, user_id ASC) AS place
        FROM season_player_totals
      )
      WHERE place = 1
    ) AS best
    JOIN (
      SELECT season_id, team_id, MAX(team_name) AS team_name, SUM(player_total) AS team_total
      FROM season_player_totals
      GROUP BY season_id, team_id
    ) AS t ON best.season_id = t.season_id AND best.team_id = t.team_id
    -- inside one instant the two sides may be one update apart: such a row has no share yet
    WHERE t.team_total > 0 AND best.player_total <= t.team_total
  )
)
WHERE rnk <= 10;
