-- The records of some entities that a cause could be about: copies, refused ones that could be read, those with a remark,
-- and those that came behind the newest event of their partition. $delay, $from_time, $to_time: milliseconds.
SELECT
  ${keys.over},
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.score, records.event_id, records.reason, records.remark, records.copy, records.since_previous, records.late_by
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset
  AND records.event_time_millis >= $from_time AND records.event_time_millis < $to_time
  AND (records.copy OR records.remark IS NOT NULL OR (records.reason IS NOT NULL AND records.score IS NOT NULL)
    OR records.late_by > $delay)
ORDER BY records."partition", records."offset", records.item
LIMIT $most
