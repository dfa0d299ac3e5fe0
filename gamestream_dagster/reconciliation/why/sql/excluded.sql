-- The records of one key that do not count, in order, with the reason, as the table ${table}; of a copy the place of the
-- record that counts. DUP_CONFLICT: a copy whose content is not that of the record that counts. OUTSIDE: an accepted event
-- outside the window or season, whose borders are $from_time and $to_time.
CREATE OR REPLACE TEMP TABLE ${table} AS
SELECT
  row_number() OVER (ORDER BY records."partition", records."offset", records.item) AS place,
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.points AS score, records.event_id,
  CASE
    WHEN records.reason IS NOT NULL THEN records.reason
    WHEN records.conflict THEN 'DUP_CONFLICT'
    WHEN records.copy THEN 'COPY'
    ELSE 'OUTSIDE'
  END AS reason,
  records.since_previous,
  records.first_partition,
  records.first_offset
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset
  AND (
    records.reason IS NOT NULL OR records.copy
    OR records.event_time_millis < $from_time OR records.event_time_millis >= $to_time
  )
