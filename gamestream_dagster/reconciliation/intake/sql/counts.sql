-- How many positions have each fate and verdict.
SELECT fate, verdict, count(*) AS records FROM judged GROUP BY fate, verdict
