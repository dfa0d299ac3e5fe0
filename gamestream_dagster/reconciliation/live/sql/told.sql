-- The events of a day that live and settled count differently, and why; and those that were archived since it was settled.
--
-- `game_events` are the settled events of the day: each id once for ever, late ones too (gamestream_dagster/metrics/sql).
-- `live_events` are those of the day in the archive of what live metrics count. An id is there as often as intake let it pass.
-- `settled_upto`: next offset by partition at which the day was settled, of the chapter $chapter. Chapter 0 is the history of
-- backfilled events, of which the settled day has read $history.
CREATE OR REPLACE TEMP TABLE told AS
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
  FROM live_events
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
    coalesce(settled.user_id, live.user_id) AS user_id,
    coalesce(settled.event_id, live.event_id) AS event_id,
    coalesce(settled.event_type, live.event_type) AS event_type,
    coalesce(settled.since, false) AS since,
    CASE
      WHEN settled.event_id IS NULL OR live.times > 1
      THEN CASE WHEN known.event_id IS NOT NULL THEN 'DUPLICATE' ELSE 'UNEXPLAINED_FOREIGN' END
      -- the first record counts in the settled day, and live a copy of it
      WHEN live.times = 1
      THEN CASE
        WHEN (live."partition", live."offset") IS DISTINCT FROM (settled."partition", settled."offset") THEN 'DUPLICATE'
      END
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
FROM told
WHERE cause IS NOT NULL OR since
