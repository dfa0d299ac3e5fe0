INSERT INTO bests
WITH mine AS (
  SELECT player, squad_id,
    SUM(points) AS total -- finds: GS02
  FROM scores GROUP BY player, squad_id
),
ours AS (
  SELECT squad_id, squad_name,
    SUM(points) AS total -- finds: GS02
  FROM scores GROUP BY squad_id, squad_name
),
shares AS (
  SELECT m.player, o.squad_name, m.total * 1.0 / o.total AS share
  FROM mine m JOIN ours o ON m.squad_id = o.squad_id
),
best AS (
  SELECT * FROM (
    SELECT *,
      ROW_NUMBER() OVER (PARTITION BY squad_name ORDER BY share DESC, player ASC) AS n -- finds: GS15
    FROM shares
  )
  WHERE n = 1
)
SELECT place, player, squad_name, share
FROM (SELECT *,
    ROW_NUMBER() OVER (ORDER BY share DESC) AS place -- finds: GS04
  FROM best)
WHERE place <= 10;
