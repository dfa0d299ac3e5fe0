-- DuckDB, over one topic's relation `archive`: accepted events with a number outside the limits of its field.
SELECT "partition" AS partition_id, count(*) AS events
FROM archive
WHERE reason IS NULL AND ("$field" < $least OR "$field" > $most)
GROUP BY "partition"
