-- The counted events before the cut. Cut after the copies are out: what is a copy does not depend on the cut.
CREATE TEMPORARY VIEW counted_events AS
SELECT
  counted.`partition`, `offset`, item, kafka_timestamp,
  user_id, team_id, team_name, score, event_time_millis, event_type, event_id
FROM counted
JOIN cut ON counted.`partition` = cut.`partition`
WHERE `offset` < high_offset
