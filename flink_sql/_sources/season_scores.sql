-- The counted scores with the start of their season, by event time in UTC. Seasons are of one length; the shift puts their
-- starts on multiples of it (a week begins on Monday, 1970 began on a Thursday). Whole minutes: no season has other borders.
-- As text, as Flink writes a TIMESTAMP_LTZ into JSON: it is part of the sinks' keys, and JDBC cannot write that type.
CREATE TEMPORARY VIEW season_scores AS
SELECT
  user_id,
  team_id,
  team_name,
  points,
  DATE_FORMAT(TO_TIMESTAMP_LTZ(
    minute_of_event - MOD(
      minute_of_event + CAST('${season_shift_millis}' AS BIGINT), CAST('${season_length_millis}' AS BIGINT)
    ), 3
  ), 'yyyy-MM-dd HH:mm:ss') || 'Z' AS season_id
FROM (
  SELECT *, CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), event_time) AS BIGINT) * 60000 AS minute_of_event
  FROM counted_scores
);
