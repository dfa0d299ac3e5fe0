-- What the archive holds of each partition before the cut, in a few bytes: the same for the same records in whatever files
-- and order, another one if any column that a board or the rule of acceptance reads is changed.
SELECT
  "partition",
  count(*) AS "rows",
  min("offset") AS first_offset,
  max("offset") AS last_offset,
  sum(md5_number_upper(line))::VARCHAR || '-' || sum(md5_number_lower(line))::VARCHAR AS digest
FROM (
  SELECT
    archive."partition",
    archive."offset",
    json_array(
      archive."offset", archive.item, archive.kafka_timestamp, archive.user_id, ${archive.own},
      archive.event_time_millis, archive.event_type, archive.event_id, archive.reason, sha256(archive.value)
    )::VARCHAR AS line
  FROM archive
  JOIN cut ON archive."partition" = cut."partition"
  WHERE archive."offset" < cut.high_offset
)
GROUP BY "partition"
ORDER BY "partition"
