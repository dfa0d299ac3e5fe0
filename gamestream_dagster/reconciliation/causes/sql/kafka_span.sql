-- When Kafka took the first and the last record before the cut, milliseconds.
SELECT min(archive.kafka_timestamp) AS first, max(archive.kafka_timestamp) AS last
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive."offset" < cut.high_offset
