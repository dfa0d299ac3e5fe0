-- What a job should have counted up to the offsets it names: rows that its reader yields, and the accepted among them.
-- Flink's JSON reader hands out no row at all for what it cannot read as an object.
SELECT
  archive."partition" AS partition_id,
  count(*) FILTER (WHERE reason IS NULL OR reason NOT IN ('NOT_JSON', 'NOT_UTF8', 'NOT_AN_OBJECT', 'NOT_AVRO')) AS records,
  count(*) FILTER (WHERE reason IS NULL) AS accepted
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive."offset" < cut.high_offset
GROUP BY partition_id
