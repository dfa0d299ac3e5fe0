-- Newest event time of each partition, never ahead of the record's Kafka time: what the watermark follows.
SELECT "partition", max(least(event_time_millis, kafka_timestamp)) AS newest
FROM events
GROUP BY "partition"
