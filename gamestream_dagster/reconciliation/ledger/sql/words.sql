-- How many records have each reason and each remark.
SELECT kind, entry.key AS word, sum(entry.value)::BIGINT AS records
FROM (
  SELECT 'reason' AS kind, unnest(map_entries(reasons)) AS entry FROM minutes
  UNION ALL
  SELECT 'remark' AS kind, unnest(map_entries(remarks)) AS entry FROM minutes
)
GROUP BY kind, word
ORDER BY kind, word
