-- The runs of offsets without a break that a file holds: first and last of each.
SELECT min("offset") AS first_offset, max("offset") AS last_offset
FROM (
  SELECT DISTINCT "offset", "offset" - dense_rank() OVER (ORDER BY "offset") AS run
  FROM read_parquet($path)
)
GROUP BY run
ORDER BY first_offset
