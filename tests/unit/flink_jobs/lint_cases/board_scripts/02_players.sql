-- a cast after the SUM does not help, a filter that hides the sign costs the fast strategy
INSERT INTO players
SELECT place, player, CAST(total AS BIGINT)
FROM (
  SELECT *,
    ROW_NUMBER() OVER (ORDER BY total DESC, player ASC) AS place -- plans: GS12
  FROM (SELECT player,
      SUM(s.points) AS total -- finds: GS02
    FROM scores AS s GROUP BY player)
)
WHERE place <= 10;
