-- Where the faults of each minute are: the first and last position by partition.
SELECT
  archive.kafka_timestamp // 60000 * 60000 AS "minute",
  judged.verdict,
  judged."partition",
  min(judged."offset") AS first_offset,
  max(judged."offset") AS last_offset,
  count(*) AS records
FROM (
  SELECT verdict, "partition", "offset" FROM judged WHERE verdict NOT IN ('OK', 'OPEN', 'PAST')
  UNION ALL
  SELECT verdict, "partition", "offset" FROM score_faults WHERE verdict <> 'OK'
) AS judged
JOIN archive ON judged."partition" = archive."partition" AND judged."offset" = archive."offset"
WHERE archive.item = 0 AND archive.kafka_timestamp >= $since
GROUP BY "minute", judged.verdict, judged."partition"
ORDER BY "minute", judged.verdict, judged."partition"
