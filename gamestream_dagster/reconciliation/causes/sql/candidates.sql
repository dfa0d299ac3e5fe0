-- The records of some entities that a cause could be about: copies, refused ones that could be read, those with a remark,
-- those that came behind the newest event of their partition, and, of whatever time, the records of an id that lies in several
-- partitions. $delay, $from_time, $to_time: milliseconds.
SELECT
  ${keys.over},
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.points AS score, records.event_id, records.reason, records.remark, records.copy, records.since_previous, records.late_by,
  records.conflict, records.first_partition, records.first_offset, records.first_item,
  records.event_time_millis >= $from_time AND records.event_time_millis < $to_time AS counts_here
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset
  AND (
    (
      records.event_time_millis >= $from_time AND records.event_time_millis < $to_time
      AND (records.copy OR records.remark IS NOT NULL OR (records.reason IS NOT NULL AND records.points IS NOT NULL)
        OR records.late_by > $delay)
    )
    OR (records.copy AND records.first_partition <> records."partition")
    OR (records."partition", records."offset", records.item) IN (
      SELECT (first_partition, first_offset, first_item) FROM copies WHERE first_partition <> "partition"
    )
  )
ORDER BY records."partition", records."offset", records.item
LIMIT $most
