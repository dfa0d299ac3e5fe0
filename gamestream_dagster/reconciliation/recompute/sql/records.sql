-- Every archived record item, before a cut or not.
-- copy: an earlier accepted record carries the same id. since_previous, conflict, first_partition, first_offset, first_item: see
-- copies.sql; null for what is no copy.
-- late_by: milliseconds that the event time lies behind what the earlier records of its partition had moved the watermark to
-- (before its delay); null when nothing had.
-- yielded: whether Flink's reader makes a row of it; it hands out none at all for what it cannot read as an object.
CREATE OR REPLACE TEMP VIEW records AS
SELECT
  archive.*,
  copies."offset" IS NOT NULL AS copy,
  copies.since_previous,
  copies.conflict,
  copies.first_partition,
  copies.first_offset,
  copies.first_item,
  archive.newest_before - archive.event_time_millis AS late_by,
  coalesce(archive.reason NOT IN ('NOT_JSON', 'NOT_UTF8', 'NOT_AN_OBJECT', 'NOT_AVRO'), true) AS yielded
FROM archive
LEFT JOIN copies
  ON archive."partition" = copies."partition" AND archive."offset" = copies."offset" AND archive.item = copies.item
