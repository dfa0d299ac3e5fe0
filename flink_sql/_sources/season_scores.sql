-- The counted scores with the start of their season, in milliseconds of event time and UTC. Seasons are of one length; the
-- shift puts their starts on multiples of it (a week begins on Monday, 1970 began on a Thursday).
-- A refused record (points NULL) may lack its event time: it has no season, and no sum takes it.
CREATE TEMPORARY VIEW season_scores AS
SELECT
  user_id,
  team_id,
  team_name,
  points,
  event_time_millis - MOD(
    event_time_millis + CAST('${season_shift_millis}' AS BIGINT), CAST('${season_length_millis}' AS BIGINT)
  ) AS season_millis
FROM counted_scores;
