-- The rows of a metric's newest settled day.
SELECT * FROM $metric
WHERE $partition = (SELECT max(settled.day) FROM metric_settlements AS settled WHERE settled.metric = '$metric')
