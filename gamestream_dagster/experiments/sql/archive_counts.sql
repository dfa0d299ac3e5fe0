-- Who is left out: seen in several variants, or exposed too late for the whole window to be over (of the others).
SELECT
  count(*) FILTER (variants > 1) AS crossovers,
  count(*) FILTER (variants = 1 AND exposed_at > $last_exposure) AS waiting
FROM assigned
