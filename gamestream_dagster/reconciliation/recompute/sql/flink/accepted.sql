-- The accepted events, before the cut or not, copies among them.
CREATE TEMPORARY VIEW accepted AS
SELECT
  `partition`, `offset`, item, kafka_timestamp,
  user_id, team_id, team_name, score, event_time_millis, event_type, event_id
FROM archive
WHERE reason IS NULL
