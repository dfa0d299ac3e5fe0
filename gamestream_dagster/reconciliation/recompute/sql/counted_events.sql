-- The counted events before the cut: accepted, and no copies. ${archive}: the archived records, or some of them.
-- Partitions that `cut` does not name are before no cut.
CREATE OR REPLACE TEMP VIEW counted_events AS
SELECT archive.*, cut.low_offset
FROM ${archive} AS archive
JOIN cut ON archive."partition" = cut."partition"
ANTI JOIN copies
  ON archive."partition" = copies."partition" AND archive."offset" = copies."offset" AND archive.item = copies.item
WHERE archive.reason IS NULL AND archive."offset" < cut.high_offset
