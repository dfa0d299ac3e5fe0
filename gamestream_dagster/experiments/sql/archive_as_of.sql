-- An archive run reads every partition to its end: what was archived is complete up to its newest record.
SELECT max(archive.kafka_timestamp) AS as_of
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive."offset" < cut.high_offset
