-- The prefix of each partition that Kafka had taken up to a moment (milliseconds); partitions without a record are left out.
SELECT archive."partition", max(archive."offset") + 1 AS next_offset
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive."offset" < cut.high_offset AND archive.kafka_timestamp <= $moment
GROUP BY archive."partition"
