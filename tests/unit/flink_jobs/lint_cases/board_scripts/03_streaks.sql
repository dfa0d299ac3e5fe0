INSERT INTO streaks
WITH short_term AS (
  SELECT player, happened,
    SUM(points) OVER w * 1.0 AS heat -- finds: GS02
  FROM scores
  WINDOW w AS (PARTITION BY player ORDER BY happened RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW)
),
latest AS (
  SELECT player, heat FROM (
    SELECT *,
      ROW_NUMBER() OVER (PARTITION BY player ORDER BY happened DESC) AS newest -- finds: GS04
    FROM short_term
  )
  WHERE newest = 1
)
SELECT place, player, heat
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY heat DESC, player ASC) AS place FROM latest)
WHERE place <= 10;
