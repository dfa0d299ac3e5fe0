-- The runs of record items that a file holds more than once: first and last offset of each, and how many are too many.
SELECT min("offset") AS first_offset, max("offset") AS last_offset, sum(times - 1)::BIGINT AS records
FROM (
  SELECT "offset", times, "offset" - row_number() OVER (ORDER BY "offset") AS run
  FROM (
    SELECT "offset", max(times) AS times
    FROM (SELECT "offset", item, count(*) AS times FROM read_parquet($path) GROUP BY "offset", item)
    GROUP BY "offset"
    HAVING max(times) > 1
  )
)
GROUP BY run
ORDER BY first_offset
