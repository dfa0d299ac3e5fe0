-- Positions that seem to be missing or misplaced because the event came first before the Kafka time $lookback.
UPDATE judged
SET verdict = 'OK', fate = CASE WHEN older.same THEN 'copy' ELSE 'dead' END
FROM (
  SELECT record."partition", record."offset", bool_or(first.digest = record.digest) AS same
  FROM archive AS record
  JOIN judged ON record."partition" = judged."partition" AND record."offset" = judged."offset"
  JOIN archive AS first
    ON record.event_id = first.event_id AND record.user_id IS NOT DISTINCT FROM first.user_id
  WHERE judged.verdict IN ('MISSING', 'WRONG_PLACE')
    AND record.reason IS NULL AND first.reason IS NULL AND first.kafka_timestamp < $lookback
  GROUP BY record."partition", record."offset"
) AS older
LEFT JOIN found ON older."partition" = found.raw_partition AND older."offset" = found.raw_offset
WHERE judged."partition" = older."partition" AND judged."offset" = older."offset"
  AND (
    judged.verdict = 'MISSING' AND older.same
    OR judged.verdict = 'WRONG_PLACE' AND NOT older.same AND found.dead = 1 AND found.mark = 'DUP_CONFLICT'
  )
