-- Values that are none of their metric: how many, by metric. A proportion is 0 or 1, a mean any number below the limit.
SELECT place, count(*) AS refused
FROM (
  SELECT generate_subscripts(numbers, 1) AS place, unnest(numbers) AS number FROM file_rows
)
WHERE number IS NULL
  OR NOT isfinite(number)
  OR abs(number) > $most
  OR (list_contains($proportions, place) AND number NOT IN (0, 1))
GROUP BY place
ORDER BY place
