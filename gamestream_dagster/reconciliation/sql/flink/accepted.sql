-- The accepted events before the cut, copies among them.
CREATE TEMPORARY VIEW accepted AS
SELECT
  archive.`partition`, `offset`, item, kafka_timestamp,
  user_id, team_id, team_name, score, event_time_millis, event_type, event_id
FROM archive
JOIN cut ON archive.`partition` = cut.`partition`
WHERE reason IS NULL AND `offset` < high_offset
