-- Live metrics by minute of event time. Each row is a running count with two columns about itself: `as_of`, the Kafka time of
-- the newest event that it counts, and `final`, whether the watermark has passed its minute. The watermark is 10 minutes
-- behind, and intake lets no event pass that is later.
--
-- A count without a window cannot see the watermark pass. So each minute is counted a second time in a window, whose only
-- purpose is its end: the row that it gives then adds nothing and closes the minute's group. An event that the window would
-- drop as late, which happens only after intake was behind, is counted all the same, and closes its group itself.

CREATE TEMPORARY VIEW minute_events AS
SELECT
  event_time, kafka_time, event_type,
  DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm') || ':00Z' AS `minute`,
  COALESCE(JSON_VALUE(properties, '$.level_id'), '') AS level_id,
  COALESCE(region, 'unknown') AS region,
  CASE
    WHEN CURRENT_WATERMARK(event_time) >= FLOOR(event_time TO MINUTE) + INTERVAL '59.999' SECOND THEN 1 ELSE 0
  END AS closed
FROM counted_enriched_events
WHERE environment = 'production';

CREATE TEMPORARY VIEW events_agg_1min AS
SELECT
  `minute`, event_type, level_id,
  SUM(counted) AS events,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT `minute`, event_type, level_id, CAST(1 AS BIGINT) AS counted, kafka_time, closed
  FROM minute_events
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', event_type, level_id,
    CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE minute_events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, event_type, level_id
)
GROUP BY `minute`, event_type, level_id;

CREATE TEMPORARY VIEW events_by_region_1min AS
SELECT
  `minute`, region,
  SUM(counted) AS events,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT `minute`, region, CAST(1 AS BIGINT) AS counted, kafka_time, closed
  FROM minute_events
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', region,
    CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE minute_events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, region
)
GROUP BY `minute`, region;
