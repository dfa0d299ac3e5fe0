-- The boards of leaderboards_v1 within each season, from one scan of `user-score`: `season_id` is part of every key.
--
-- What query.sql of leaderboards_v1 says of its shape holds here too: the three spellings of `points >= 0` let the planner
-- prove that no sum ever falls, so that a rank keeps ten rows of a season and not every player.
-- The sums of a season that has ended are kept: there is no time limit on state here, for an expired sum would begin again
-- at 0 in silence. Where seasons are short and many, `gamestream jobs apply season_boards_v1 --replay` begins anew.

CREATE TEMPORARY VIEW season_players_board AS
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

CREATE TEMPORARY VIEW season_teams_board AS
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

CREATE TEMPORARY VIEW season_player_totals AS
SELECT season_id, user_id, team_id, MAX(team_name) AS team_name, SUM(points) AS player_total
FROM season_scores
WHERE points >= 0 OR points > 0
GROUP BY season_id, user_id, team_id;

-- The best player of a team and season before the join, and the share as a decimal, in two lengths: as in leaderboards_v1.
CREATE TEMPORARY VIEW season_mvps_board AS
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

-- The job's side of the ledger, by partition and minute; minute -1 is the whole partition (leaderboards_v1 says why).
CREATE TEMPORARY VIEW ledger_entries AS
SELECT
  -- not a constant to the planner: `job` must be part of the key that it knows, or the sink would delete each row before
  -- it writes it anew, and a reader would find it missing now and then
  CASE WHEN kafka_partition >= 0 THEN 'season_boards_v1' END AS job,
  kafka_partition AS partition_id, minute_millis, kafka_offset AS kafka_place,
  -- as BIGINT: the remainder of an INT is an INT, and so would be its sum
  MOD(kafka_offset, CAST(1000000 AS BIGINT)) AS place, points, CAST(NULL AS BIGINT) AS counted_points
FROM checked_scores
UNION ALL
SELECT
  CASE WHEN kafka_partition >= 0 THEN 'season_boards_v1' END,
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
