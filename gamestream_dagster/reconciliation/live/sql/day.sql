-- A day by event type: what the archives hold of it, and why the live count differs from the settled one, in events.
--
-- `game_events` are the settled events of the day: each id once for ever, late ones too (gamestream_dagster/metrics/sql).
-- `enriched` is the archive of what live metrics count. An id counts there as often as intake let it pass. `settled_upto`: next
-- offset by partition at which the day was settled, of the chapter $chapter. Chapter 0 is the history of backfilled events,
-- of which the settled day has read $history.
WITH settled AS (
  SELECT
    coalesce(game_events.user_id, '') AS user_id, game_events.event_id, game_events.event_type, game_events.late,
    game_events.chapter, game_events."partition", game_events."offset",
    CASE
      WHEN game_events.chapter = 0 THEN game_events."offset" >= $history
      WHEN game_events.chapter = $chapter THEN game_events."offset" >= coalesce(settled_upto."offset", 0)
      ELSE game_events.chapter > $chapter
    END AS since
  FROM game_events
  LEFT JOIN settled_upto ON game_events."partition" = settled_upto."partition"
),
live AS (
  SELECT coalesce(user_id, '') AS user_id, event_id, event_type, count(*) AS times, min(raw_partition) AS "partition",
    min(raw_offset) AS "offset"
  FROM enriched
  WHERE reason IS NULL AND environment = 'production' AND event_time_millis >= $from AND event_time_millis < $until
  GROUP BY ALL
),
reached AS (
  SELECT raw_partition AS "partition", min(raw_offset) AS first_offset, max(raw_offset) AS last_offset
  FROM enriched
  WHERE reason IS NULL
  GROUP BY raw_partition
),
known AS (
  SELECT DISTINCT coalesce(user_id, '') AS user_id, event_id
  FROM archive
  WHERE reason IS NULL AND hash(user_id, event_id) IN (SELECT hash(user_id, event_id) FROM enriched WHERE reason IS NULL)
),
told AS (
  SELECT
    coalesce(settled.event_type, live.event_type) AS event_type,
    coalesce(live.times, 0) - (settled.event_id IS NOT NULL)::INTEGER AS more,
    coalesce(live.times, 0) AS live,
    (settled.event_id IS NOT NULL)::INTEGER AS settled,
    coalesce(settled.since, false) AS since,
    CASE
      WHEN coalesce(live.times, 0) > (settled.event_id IS NOT NULL)::INTEGER
      THEN CASE WHEN known.event_id IS NOT NULL THEN 'DUPLICATE' ELSE 'UNEXPLAINED_FOREIGN' END
      WHEN settled.chapter = 0 THEN 'BACKFILLED'
      WHEN settled.late THEN 'LATE'
      WHEN reached.last_offset IS NULL OR settled."offset" > reached.last_offset THEN 'NOT_YET_LIVE'
      WHEN settled."offset" < reached.first_offset THEN 'BEFORE_LIVE'
      ELSE 'UNEXPLAINED_LOST'
    END AS cause
  FROM settled
  FULL JOIN live
    ON settled.user_id = live.user_id AND settled.event_id = live.event_id AND settled.event_type = live.event_type
  LEFT JOIN known ON live.user_id = known.user_id AND live.event_id = known.event_id
  LEFT JOIN reached ON settled."partition" = reached."partition"
)
SELECT event_type, 'LIVE' AS cause, sum(live)::BIGINT AS events FROM told GROUP BY event_type
UNION ALL
SELECT event_type, 'SETTLED', sum(settled)::BIGINT FROM told GROUP BY event_type
UNION ALL
SELECT event_type, 'SINCE', sum(settled) FILTER (WHERE since)::BIGINT FROM told WHERE since GROUP BY event_type
UNION ALL
SELECT event_type, cause, sum(more)::BIGINT FROM told WHERE more <> 0 GROUP BY event_type, cause
ORDER BY ALL
