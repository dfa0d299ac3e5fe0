-- `archive`: every archived record. `cut`: next offset by partition; what is not named there is before no cut.
-- The counted events before the cut: accepted, and no copies. `removed` and `added` are what a recompute supposes besides:
-- each entry of `added` counts once more, refused or not, if it has what can be counted.
SELECT
  archive."partition",
  archive."offset",
  archive.item,
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
ANTI JOIN (FROM removed UNION ALL SELECT "partition", "offset", item FROM copies) AS left_out
  ON archive."partition" = left_out."partition" AND archive."offset" = left_out."offset" AND archive.item = left_out.item
WHERE archive.reason IS NULL AND archive."offset" < cut.high_offset
UNION ALL
SELECT
  archive."partition",
  archive."offset",
  archive.item,
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
JOIN added
  ON archive."partition" = added."partition" AND archive."offset" = added."offset" AND archive.item = added.item
JOIN cut ON archive."partition" = cut."partition"
WHERE archive.user_id IS NOT NULL AND archive.team_id IS NOT NULL AND archive.score IS NOT NULL
  AND archive."offset" < cut.high_offset
