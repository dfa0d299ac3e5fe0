-- The records of one key that do not count, with the reason; of a copy the place of the record that counts.
SELECT
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis, records.score,
  records.event_id, coalesce(records.reason, 'COPY') AS reason, records.since_previous,
  first."partition" AS first_partition, first."offset" AS first_offset
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
LEFT JOIN records AS first
  ON records.copy AND first.user_id = records.user_id AND first.event_id = records.event_id
  AND first.reason IS NULL AND NOT first.copy
WHERE records."offset" < cut.high_offset AND (records.reason IS NOT NULL OR records.copy)
ORDER BY records."partition", records."offset", records.item
LIMIT $most
