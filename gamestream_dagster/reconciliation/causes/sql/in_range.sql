-- The counted events of some entities in one run of offsets.
SELECT
  ${keys.over},
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.points AS score, records.event_id, records.reason, records.remark, records.copy, records.since_previous, records.late_by,
  records.conflict, records.first_partition, records.first_offset, records.first_item
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset AND records.reason IS NULL AND NOT records.copy
  AND records."partition" = $partition AND records."offset" BETWEEN $first_offset AND $last_offset
ORDER BY records."offset", records.item
LIMIT $most
