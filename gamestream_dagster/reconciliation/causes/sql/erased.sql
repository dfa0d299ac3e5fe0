-- The records of erased players before the cut of which is known what they gave to counts, in order. copy: an earlier one has
-- its ids (${ids}). ${over}: columns of the board's entity.
SELECT
  ${mine.over}, mine."partition", mine."offset", mine.item, mine.kafka_timestamp, mine.event_time_millis, mine.points AS score,
  mine.user_id AS subject,
  coalesce(mine.event_id, '') <> '' AND row_number() OVER (
    PARTITION BY ${mine.ids} ORDER BY mine.kafka_timestamp, mine."partition", mine."offset", mine.item
  ) > 1 AS copy
FROM archive AS mine
JOIN cut ON mine."partition" = cut."partition"
WHERE mine.reason = 'ERASED' AND mine.user_id IS NOT NULL AND mine."offset" < cut.high_offset
ORDER BY mine."partition", mine."offset", mine.item
LIMIT $most
