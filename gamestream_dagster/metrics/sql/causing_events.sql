-- Events of the day that were archived after it was last settled: of a later chapter, or at or behind the offsets of then.
SELECT
  game_events.chapter, game_events."partition", game_events."offset", game_events.event_id, game_events.user_id,
  game_events.event_type, game_events.event_time
FROM game_events
LEFT JOIN settled_upto ON game_events."partition" = settled_upto."partition"
WHERE
  game_events.chapter > $chapter
  OR (game_events.chapter = $chapter AND game_events."offset" >= coalesce(settled_upto."offset", 0))
ORDER BY game_events.chapter, game_events."partition", game_events."offset", game_events.item
