-- The rows of the table `ledger`.
SELECT
  partition_id, "minute", records, accepted, duplicate, late, dead_lettered,
  map_concat(reasons, remarks) AS reasons,
  first_offset, last_offset
FROM minutes
ORDER BY partition_id, "minute"
