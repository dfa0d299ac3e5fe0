-- The players with the greatest share of their team's score, one for each team. DuckDB, over `player_totals`:
-- the counted events of the season before a cut, summed by player and team. $season: its start, milliseconds of the
-- epoch. $rows: how many ranks to give.
--
-- The order is exact: a share is compared digit by digit in base 2^62 (long division in 128 bits). Two different shares
-- of totals below 2^63 differ by more than 2^-126, so three digits tell them apart, and equal shares have equal digits.
WITH players AS (
  SELECT user_id, team_id, total_score AS player_total, team_name
  FROM player_totals
),
teams AS (
  SELECT team_id, max(team_name) AS team_name, sum(player_total)::BIGINT AS team_total
  FROM players
  GROUP BY team_id
),
best AS (
  SELECT team_id, user_id, player_total
  FROM players
  QUALIFY row_number() OVER (PARTITION BY team_id ORDER BY player_total DESC, user_id) = 1
),
shares AS (
  SELECT
    teams.team_id, teams.team_name, best.user_id, best.player_total, teams.team_total,
    player_total::HUGEINT // team_total AS whole,
    player_total::HUGEINT % team_total AS rest_0,
    (rest_0 * 4611686018427387904) // team_total AS digit_1,
    (rest_0 * 4611686018427387904) % team_total AS rest_1,
    (rest_1 * 4611686018427387904) // team_total AS digit_2,
    (rest_1 * 4611686018427387904) % team_total AS rest_2,
    (rest_2 * 4611686018427387904) // team_total AS digit_3
  FROM teams
  JOIN best USING (team_id)
  WHERE teams.team_total > 0
)
SELECT
  $season AS season_id,
  row_number() OVER (ORDER BY whole DESC, digit_1 DESC, digit_2 DESC, digit_3 DESC, team_id) AS rnk,
  team_id,
  team_name,
  user_id,
  player_total,
  team_total,
  player_total::DOUBLE / team_total::DOUBLE AS contrib_ratio
FROM shares
ORDER BY rnk
LIMIT $rows
