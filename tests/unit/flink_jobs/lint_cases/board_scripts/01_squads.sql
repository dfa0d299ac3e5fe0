SET 'table.exec.state.ttl' = '60 min'; -- finds: GS03
ADD JAR 'file:///opt/jars/kafka.jar'; -- finds: GS10
INSERT INTO squads
SELECT place, squad_id, squad_name, CAST(total AS BIGINT) AS total
FROM (
  SELECT *,
    ROW_NUMBER() OVER (ORDER BY total DESC, squad_name ASC) AS place -- finds: GS04 -- plans: GS12
  FROM (
    SELECT squad_id, MAX(squad_name) AS squad_name,
      SUM(points) AS total -- finds: GS02
    FROM scores GROUP BY squad_id
  )
)
WHERE place <= 10;
