-- The raw records of each minute of Kafka time from $since on, up to the cut, and what the outputs hold of them.
-- settled: every position of the minute is before the low cut, so that intake must have counted it. open: not judged, and in no
-- output.
SELECT
  archive.kafka_timestamp // 60000 * 60000 AS "minute",
  count(*) AS records,
  coalesce(sum(found.enriched), 0)::BIGINT AS enriched,
  coalesce(sum(found.late), 0)::BIGINT AS late,
  coalesce(sum(found.dead), 0)::BIGINT AS dead,
  count(*) FILTER (WHERE judged.fate = 'copy' AND found.records IS NULL) AS copies,
  count(*) FILTER (WHERE judged.verdict IN ('OPEN', 'PAST') AND found.records IS NULL) AS open,
  bool_and(archive."offset" < cut.low) AS settled,
  count(*) FILTER (
    WHERE archive.reason IS NULL AND archive.event_type = 'score' AND archive.environment = 'production'
      AND found.enriched > 0
  ) AS scores
FROM archive
JOIN cut ON archive."partition" = cut."partition" AND archive."offset" >= cut.begins AND archive."offset" < cut.high
LEFT JOIN judged ON archive."partition" = judged."partition" AND archive."offset" = judged."offset"
LEFT JOIN found ON archive."partition" = found.raw_partition AND archive."offset" = found.raw_offset
WHERE archive.item = 0 AND archive.kafka_timestamp >= $since
GROUP BY "minute"
ORDER BY "minute"
