-- The counted events, before the cut or not: an id counts once for a player, at its first position in a partition; the first
-- ones of several partitions (somebody keyed wrongly) are in the order of their Kafka time. What has no id is never a copy.
CREATE TEMPORARY VIEW counted AS
SELECT
  `partition`, `offset`, item, kafka_timestamp,
  user_id, team_id, team_name, score, event_time_millis, event_type, event_id
FROM (
  SELECT *,
    ROW_NUMBER() OVER (PARTITION BY user_id, event_id ORDER BY kafka_timestamp, `partition`, `offset`, item) AS place
  FROM (
    SELECT *,
      ROW_NUMBER() OVER (PARTITION BY user_id, event_id, `partition` ORDER BY `offset`, item) AS place_in_partition
    FROM accepted
    WHERE event_id <> ''
  )
  WHERE place_in_partition = 1
)
WHERE place = 1
UNION ALL
SELECT *
FROM accepted
WHERE event_id IS NULL OR event_id = ''
