-- By DuckDB, over the events before a cut. `score_minute` is null for events that are no scores.
SELECT
  score_minute, user_id,
  count(*) AS scores,
  sum(points)::BIGINT AS score_points,
  max(event_1) AS event_1,
  max(event_2) AS event_2,
  max(event_3) AS event_3,
  max(event_4) AS event_4,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= score_minute + 59999, false) AS final
FROM events
WHERE score_minute IS NOT NULL
GROUP BY score_minute, user_id
HAVING count(*) >= ${scores_of_a_minute}::BIGINT OR sum(points) >= ${points_of_a_minute}::BIGINT
