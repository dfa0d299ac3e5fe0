-- Top teams, top players and team MVPs from one scan of `user-score`.
--
-- Why `points >= 0` is spelled in three ways: the planner ranks with UpdateFastStrategy, which keeps ten rows and not every
-- player, only where it can prove that a sum never falls. The proof needs the filter right under the SUM, and it is lost
-- when a sub-plan is shared by several sinks, for such a sub-plan is planned as a block of its own. `checked_scores` shall
-- be such a block (it hides the CAST, through which no proof goes), the sums shall not. The three spellings keep them apart
-- while planning; the physical plan is the same for all, so that Flink still runs one sum per player and team.
-- tests/integration/test_leaderboards_plan.py asserts all of this with EXPLAIN.

CREATE TEMPORARY VIEW top_teams AS
SELECT rnk, team_id, team_name, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total_score DESC, team_id ASC) AS rnk
  FROM (
    SELECT team_id, MAX(team_name) AS team_name, SUM(player_total) AS total_score
    FROM (
      SELECT user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
      FROM counted_scores
      WHERE NOT (points < 0)
      GROUP BY user_id, team_id
    )
    GROUP BY team_id
  )
)
WHERE rnk <= 10;

CREATE TEMPORARY VIEW top_players AS
SELECT rnk, user_id, team_name, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total_score DESC, user_id ASC) AS rnk
  FROM (
    SELECT user_id, MAX(team_name) AS team_name, SUM(player_total) AS total_score
    FROM (
      SELECT user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
      FROM counted_scores
      WHERE points >= 0
      GROUP BY user_id, team_id
    )
    GROUP BY user_id
  )
)
WHERE rnk <= 10;

CREATE TEMPORARY VIEW mvp_player_totals AS
SELECT user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
FROM counted_scores
WHERE points >= 0 OR points > 0
GROUP BY user_id, team_id;

-- A team's best player is the one with the greatest total: chosen before the join, so that a change of the team's total
-- moves one row and not one for each member. The share is a decimal with 19 places, not a float: two shares that differ
-- keep their order for team totals up to three billion. The rank compares it rounded to 17 places first: 18 digits fit into a
-- long, and the whole share, which is decoded into a BigInteger at each comparison, is looked at between equals alone.
CREATE TEMPORARY VIEW team_mvps AS
SELECT
  rnk, team_id, team_name, user_id, player_total, team_total,
  -- from the integers: of a small share 19 places leave few digits
  CAST(player_total AS DOUBLE) / CAST(team_total AS DOUBLE) AS contrib_ratio
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY CAST(share AS DECIMAL(18, 17)) DESC, share DESC, team_id ASC) AS rnk
  FROM (
    SELECT
      t.team_id, t.team_name, best.user_id, best.player_total, t.team_total,
      CAST(best.player_total AS DECIMAL(19, 0)) / CAST(t.team_total AS DECIMAL(19, 0)) AS share
    FROM (
      SELECT team_id, user_id, player_total
      FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY team_id ORDER BY player_total DESC, user_id ASC) AS place
        FROM mvp_player_totals
      )
      WHERE place = 1
    ) AS best
    JOIN (
      SELECT team_id, MAX(team_name) AS team_name, SUM(player_total) AS team_total
      FROM mvp_player_totals
      GROUP BY team_id
    ) AS t ON best.team_id = t.team_id
    -- inside one instant the two sides may be one update apart: such a row has no share yet
    WHERE t.team_total > 0 AND best.player_total <= t.team_total
  )
)
WHERE rnk <= 10;
