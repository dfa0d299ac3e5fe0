-- By DuckDB, over the events before a cut. `minute` is null for events that no metric counts. Of a player's events at one time
-- the one with the greatest region is the last.
SELECT place.minute AS minute, place.region AS region, count(*) AS players
FROM (
  SELECT max(one) AS place
  FROM (SELECT event_time_millis, minute, region, user_id FROM events WHERE minute IS NOT NULL AND user_id IS NOT NULL) AS one
  GROUP BY user_id
)
GROUP BY ALL
