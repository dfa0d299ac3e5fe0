-- The watermark that the events before the cut give, milliseconds: that of the partition that is furthest behind. Null while a
-- partition has no accepted event.
CREATE OR REPLACE TEMP VIEW watermark AS
SELECT CASE WHEN count(newest) = count(*) THEN min(newest) - getvariable('late_ms') END AS millis
FROM cut
LEFT JOIN (
  SELECT archive."partition", max(least(archive.event_time_millis, archive.kafka_timestamp)) AS newest
  FROM archive
  JOIN cut ON archive."partition" = cut."partition"
  WHERE archive.reason IS NULL AND archive."offset" < cut.high_offset
  GROUP BY archive."partition"
) AS reached USING ("partition")
