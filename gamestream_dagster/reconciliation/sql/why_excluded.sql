-- The records of one key that do not count, in order, with the reason, as the table ${table}; of a copy the place of the
-- record that counts. OUTSIDE: an accepted event outside the window or season, whose borders are $from_time and $to_time.
CREATE OR REPLACE TEMP TABLE ${table} AS
SELECT
  row_number() OVER (ORDER BY records."partition", records."offset", records.item) AS place,
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.score, records.event_id,
  CASE
    WHEN records.reason IS NOT NULL THEN records.reason
    WHEN records.copy THEN 'COPY'
    ELSE 'OUTSIDE'
  END AS reason,
  records.since_previous,
  counted."partition" AS first_partition,
  counted."offset" AS first_offset
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
LEFT JOIN records AS counted
  ON records.copy AND counted.user_id = records.user_id AND counted.event_id = records.event_id
  AND counted.reason IS NULL AND NOT counted.copy
WHERE records."offset" < cut.high_offset
  AND (
    records.reason IS NOT NULL OR records.copy
    OR records.event_time_millis < $from_time OR records.event_time_millis >= $to_time
  )
