-- The runs of neighbouring positions with one fault of the scores.
SELECT
  verdict, "partition", min("offset") AS first_offset, max("offset") AS last_offset, count(*) AS records
FROM (
  SELECT *, "offset" - row_number() OVER (PARTITION BY verdict, "partition" ORDER BY "offset") AS run
  FROM score_faults
  WHERE verdict <> 'OK'
)
GROUP BY verdict, "partition", run
ORDER BY verdict, "partition", first_offset
LIMIT $most
