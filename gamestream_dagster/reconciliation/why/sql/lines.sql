-- The counted events of one key between two times of events, in order, with the running total, as the table ${table}.
-- $delay: milliseconds; what came further behind the watermark than that may have been late for its window.
CREATE OR REPLACE TEMP TABLE ${table} AS
SELECT
  row_number() OVER in_order AS place,
  records."partition", records."offset", records.item, records.kafka_timestamp, records.event_time_millis,
  records.points AS score, records.event_id,
  (sum(records.points) OVER in_order)::BIGINT AS total,
  records."offset" >= cut.low_offset AS in_flight,
  CASE WHEN records.late_by > $delay THEN records.late_by END AS late_by
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset AND records.reason IS NULL AND NOT records.copy
  AND records.event_time_millis >= $from_time AND records.event_time_millis < $to_time
WINDOW in_order AS (ORDER BY records."partition", records."offset", records.item)
