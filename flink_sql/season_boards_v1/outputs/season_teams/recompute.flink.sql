-- recompute.sql as a Flink batch query, over the same `events`. $season: its start, milliseconds of
-- the epoch; $rows: how many ranks to give.
-- Sums are decimals: a sum of BIGINT would wrap at 64 bits in silence.
SELECT CAST($season AS BIGINT) AS season_id, rnk, team_id, team_name, CAST(total AS BIGINT) AS total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total DESC, team_id ASC) AS rnk
  FROM (
    SELECT team_id, MAX(team_name) AS team_name, SUM(CAST(score AS DECIMAL(19, 0))) AS total
    FROM events
    GROUP BY team_id
  )
)
WHERE rnk <= $rows
