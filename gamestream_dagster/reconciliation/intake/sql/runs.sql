-- The runs of neighbouring positions with one fault.
SELECT
  verdict, fate, conflict, "partition", min("offset") AS first_offset, max("offset") AS last_offset, count(*) AS records
FROM (
  SELECT *, "offset" - row_number() OVER (PARTITION BY verdict, fate, conflict, "partition" ORDER BY "offset") AS run
  FROM judged
  WHERE verdict NOT IN ('OK', 'OPEN', 'PAST')
)
GROUP BY verdict, fate, conflict, "partition", run
ORDER BY verdict, "partition", first_offset
LIMIT $most
