-- The watermark that the records before the cut give, milliseconds: that of the partition that is furthest behind. Null while a
-- partition has none with a time. A refused record moves it too, unless it is its time that is refused.
CREATE OR REPLACE TEMP VIEW watermark AS
SELECT CASE WHEN count(newest) = count(*) THEN min(newest) - getvariable('late_ms') END AS millis
FROM cut
LEFT JOIN (
  SELECT archive."partition", max(least(archive.event_time_millis, archive.kafka_timestamp)) AS newest
  FROM archive
  JOIN cut ON archive."partition" = cut."partition"
  WHERE archive."offset" < cut.high_offset
    AND archive.event_time_millis BETWEEN 0 AND archive.kafka_timestamp + 3600000 -- Flink reads any other time as NULL
  GROUP BY archive."partition"
) AS reached USING ("partition")
