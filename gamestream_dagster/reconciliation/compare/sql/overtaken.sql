-- Counted events of a window that came behind the watermark, and would not have by their own Kafka times; and how far the
-- record that overtook them was ahead. $delay, $tick, $from_time, $to_time: milliseconds.
SELECT
  count(*) AS events,
  max(records.event_time_millis + records.late_by - records.kafka_timestamp) AS apart
FROM records
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset AND records.reason IS NULL AND NOT records.copy
  AND records.event_time_millis >= $from_time AND records.event_time_millis < $to_time
  AND records.late_by > $delay
  -- by its own Kafka time the tick that takes it had not ended
  AND (records.event_time_millis // $tick + 1) * $tick > records.kafka_timestamp - $delay
  -- less is the ordinary difference between two machines' clocks
  AND records.event_time_millis + records.late_by - records.kafka_timestamp > $delay
