-- recompute.sql as a Flink batch query, over the same `events`. $season: its start, milliseconds of
-- the epoch; $rows: how many ranks to give.
--
-- The order is exact: a share is compared digit by digit in base 10^18 (long division in decimals of 38 places; the quotient
-- of x - MOD(x, y) and y has no rest). Two different shares of totals below 2^63 differ by more than 2^-126, so three
-- digits tell them apart, and equal shares have equal digits.
SELECT
  CAST($season AS BIGINT) AS season_id, rnk, team_id, team_name, user_id,
  CAST(player_total AS BIGINT) AS player_total,
  CAST(team_total AS BIGINT) AS team_total,
  CAST(player_total AS DOUBLE) / CAST(team_total AS DOUBLE) AS contrib_ratio
FROM (
  SELECT *,
    ROW_NUMBER() OVER (ORDER BY whole DESC, digit_1 DESC, digit_2 DESC, digit_3 DESC, team_id ASC) AS rnk
  FROM (
    SELECT *, (rest_2 - MOD(rest_2, team_total)) / team_total AS digit_3
    FROM (
      SELECT *,
        (rest_1 - MOD(rest_1, team_total)) / team_total AS digit_2,
        MOD(rest_1, team_total) * 1000000000000000000 AS rest_2
      FROM (
        SELECT *,
          (rest_0 - MOD(rest_0, team_total)) / team_total AS digit_1,
          MOD(rest_0, team_total) * 1000000000000000000 AS rest_1
        FROM (
          SELECT t.team_id, t.team_name, best.user_id, best.player_total, t.team_total,
            (best.player_total - MOD(best.player_total, t.team_total)) / t.team_total AS whole,
            MOD(best.player_total, t.team_total) * 1000000000000000000 AS rest_0
          FROM (
            SELECT team_id, MAX(team_name) AS team_name, CAST(SUM(player_total) AS DECIMAL(19, 0)) AS team_total
            FROM (
              SELECT user_id, team_id, MAX(team_name) AS team_name,
                CAST(SUM(CAST(score AS DECIMAL(19, 0))) AS DECIMAL(19, 0)) AS player_total
              FROM events
              GROUP BY user_id, team_id
            )
            GROUP BY team_id
          ) AS t
          JOIN (
            SELECT team_id, user_id, player_total
            FROM (
              SELECT *, ROW_NUMBER() OVER (PARTITION BY team_id ORDER BY player_total DESC, user_id ASC) AS place
              FROM (
                SELECT user_id, team_id,
                  CAST(SUM(CAST(score AS DECIMAL(19, 0))) AS DECIMAL(19, 0)) AS player_total
                FROM events
                GROUP BY user_id, team_id
              )
            )
            WHERE place = 1
          ) AS best ON best.team_id = t.team_id
          WHERE t.team_total > 0
        )
      )
    )
  )
)
WHERE rnk <= $rows
