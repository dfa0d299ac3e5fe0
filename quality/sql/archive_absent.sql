-- DuckDB, over one topic's relation `archive`: accepted events without a field that each of them must have.
SELECT "partition" AS partition_id, count(*) AS events
FROM archive
WHERE reason IS NULL AND "$field" IS NULL
GROUP BY "partition"
