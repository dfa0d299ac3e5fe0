-- The archived records of some entities, as far as events are made of them.
SELECT
  archive."partition", archive."offset", archive.item, archive.kafka_timestamp, archive.user_id, archive.team_id,
  archive.team_name, archive.score, archive.event_time_millis, archive.event_type, archive.event_id, archive.reason
FROM archive
SEMI JOIN keys USING (${over})
