-- Newest event time of each partition before the cut, never ahead of the record's Kafka time: the watermark is not behind it.
SELECT archive."partition", max(least(event_time_millis, kafka_timestamp)) AS newest
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive.reason IS NULL AND archive."offset" < cut.high_offset
GROUP BY archive."partition"
