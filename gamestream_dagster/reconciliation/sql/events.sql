-- `archive`: every archived record. `cut`: next offset by partition; what is not named there is before no cut.
-- The accepted events before the cut.
SELECT
  archive."partition",
  archive."offset",
  archive.kafka_timestamp,
  archive.user_id,
  archive.team_id,
  archive.team_name,
  archive.score,
  archive.event_time_millis,
  archive.event_type,
  archive.event_id,
  cut.low_offset
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive.reason IS NULL AND archive."offset" < cut.high_offset
