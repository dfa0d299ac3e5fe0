-- Everybody's counted events in a window that came behind the watermark. $delay, $from_time, $to_time: milliseconds.
SELECT
  ${records.over},
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.points AS score, records.event_id, records.reason, records.remark, records.copy, records.since_previous, records.late_by,
  records.conflict, records.first_partition, records.first_offset, records.first_item
FROM records
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset AND records.reason IS NULL AND NOT records.copy
  AND records.event_time_millis >= $from_time AND records.event_time_millis < $to_time AND records.late_by > $delay
ORDER BY records."partition", records."offset", records.item
LIMIT $most
