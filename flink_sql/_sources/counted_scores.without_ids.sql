-- Events carry no ids: every accepted record counts.
CREATE TEMPORARY VIEW counted_scores AS
SELECT
  user_id,
  team_id,
  team_name,
  event_time,
  kafka_partition,
  minute_millis,
  points
FROM checked_scores;
