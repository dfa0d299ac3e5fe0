-- Top teams, top players and team MVPs from one scan of `user-score`.
--
-- Why `points >= 0` is spelled in three ways: the planner ranks with UpdateFastStrategy, which keeps ten rows and not every
-- player, only where it can prove that a sum never falls. The proof needs the filter right under the SUM, and it is lost
-- when a sub-plan is shared by several sinks, for such a sub-plan is planned as a block of its own. `checked_scores` shall
-- be such a block (it hides the CAST, through which no proof goes), the sums shall not. The three spellings keep them apart
-- while planning; the physical plan is the same for all, so that Flink still runs one sum per player and team.
-- tests/integration/test_leaderboards_plan.py asserts all of this with EXPLAIN.

CREATE TEMPORARY VIEW top_players_board AS
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

CREATE TEMPORARY VIEW top_teams_board AS
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

CREATE TEMPORARY VIEW mvp_player_totals AS
SELECT user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
FROM counted_scores
WHERE points >= 0 OR points > 0
GROUP BY user_id, team_id;

-- A team's best player is the one with the greatest total: chosen before the join, so that a change of the team's total
-- moves one row and not one for each member. The share is a decimal with 19 places, not a float: two shares that differ
-- keep their order for team totals up to three billion. The rank compares it rounded to 17 places first: 18 digits fit into a
-- long, and the whole share, which is decoded into a BigInteger at each comparison, is looked at between equals alone.
CREATE TEMPORARY VIEW team_mvps_board AS
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

-- The job's side of the ledger, by partition and minute: what it read, what it counted, which copies it dropped. Minute -1
-- is the whole partition: after a restore from an old state it alone tells what the state holds, for a minute without new
-- records keeps its row. The offsets come straight from the source, in the order of the partition: at any instant a row
-- tells of all records up to its last offset. The copies are told apart further down and may lag: until then an accepted
-- record stands as `duplicate`.
CREATE TEMPORARY VIEW ledger_entries AS
SELECT
  -- not a constant to the planner: `job` must be part of the key that it knows, or the sink would delete each row before
  -- it writes it anew, and a reader would find it missing now and then
  CASE WHEN kafka_partition >= 0 THEN 'leaderboards_v1' END AS job,
  kafka_partition AS partition_id, minute_millis, kafka_offset AS kafka_place,
  -- as BIGINT: the remainder of an INT is an INT, and so would be its sum
  MOD(kafka_offset, CAST(1000000 AS BIGINT)) AS place, points, CAST(NULL AS BIGINT) AS counted_points
FROM checked_scores
UNION ALL
SELECT
  CASE WHEN kafka_partition >= 0 THEN 'leaderboards_v1' END,
  kafka_partition, minute_millis, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), points
FROM counted_scores
WHERE points IS NOT NULL;

CREATE TEMPORARY VIEW ledger AS
SELECT
  job, partition_id, minute_millis, records,
  LEAST(counted, accepted) AS accepted,
  accepted - LEAST(counted, accepted) AS duplicate,
  offset_sum, offset_square_sum, first_offset, last_offset
FROM (
  SELECT
    job, partition_id, span AS minute_millis,
    COUNT(kafka_place) AS records, COUNT(points) AS accepted, COUNT(counted_points) AS counted,
    SUM(place) AS offset_sum, SUM(place * place) AS offset_square_sum,
    MIN(kafka_place) AS first_offset, MAX(kafka_place) AS last_offset
  FROM ledger_entries CROSS JOIN UNNEST(ARRAY[minute_millis, CAST(-1 AS BIGINT)]) AS spans (span)
  GROUP BY job, partition_id, span
);
