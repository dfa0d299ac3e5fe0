-- The events before the cut as a hypothesis has them: without `removed`, and with each entry of `added` once more, refused
-- or not, if it has what can be counted. ${archive}: the archived records, or some of them.
CREATE OR REPLACE TEMP VIEW supposed_events AS
SELECT counted_events.*
FROM counted_events
ANTI JOIN removed
  ON counted_events."partition" = removed."partition"
  AND counted_events."offset" = removed."offset"
  AND counted_events.item = removed.item
UNION ALL
SELECT archive.*, cut.low_offset
FROM ${archive} AS archive
JOIN added
  ON archive."partition" = added."partition" AND archive."offset" = added."offset" AND archive.item = added.item
JOIN cut ON archive."partition" = cut."partition"
WHERE list_count([${archive.named}]) = len([${archive.named}]) AND archive.points IS NOT NULL
  AND archive."offset" < cut.high_offset
