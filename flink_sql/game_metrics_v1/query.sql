-- Live metrics by minute of event time. Each row is a running count or sum with two columns about itself: `as_of`, the Kafka
-- time of the newest event that it counts, and `final`, whether the watermark has passed its minute. The watermark is 10
-- minutes behind, and intake lets no event pass that is later.
--
-- A count without a window cannot see the watermark pass. So each minute is counted a second time in a window, whose only
-- purpose is its end: the row that it gives then adds nothing and closes the minute's group. An event that the window would
-- drop as late, which happens only after intake was behind, is counted all the same, and closes its group itself.

CREATE TEMPORARY VIEW minute_events AS
SELECT
  event_time, kafka_time, event_type, region, experiment, `variant`, properties,
  DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm') || ':00Z' AS `minute`,
  CASE
    WHEN CURRENT_WATERMARK(event_time) >= FLOOR(event_time TO MINUTE) + INTERVAL '59.999' SECOND THEN 1 ELSE 0
  END AS closed
FROM counted_enriched_events
WHERE environment = 'production';

CREATE TEMPORARY VIEW level_events AS
SELECT
  event_time, kafka_time, event_type, `minute`, closed,
  -- most events have no level, and to parse them for it would cost more than to count them
  CASE
    WHEN POSITION('"level_id"' IN properties) > 0 THEN COALESCE(JSON_VALUE(properties, '$.level_id'), 'none') ELSE 'none'
  END AS level_id
FROM minute_events;

CREATE TEMPORARY VIEW events_agg_1min AS
SELECT
  `minute`, event_type, level_id,
  SUM(counted) AS events,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT `minute`, event_type, level_id, CAST(1 AS BIGINT) AS counted, kafka_time, closed
  FROM level_events
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', event_type, level_id,
    CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE level_events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, event_type, level_id
)
GROUP BY `minute`, event_type, level_id;

CREATE TEMPORARY VIEW region_events AS
SELECT event_time, kafka_time, `minute`, closed, COALESCE(region, 'unknown') AS region
FROM minute_events;

CREATE TEMPORARY VIEW events_by_region_1min AS
SELECT
  `minute`, region,
  SUM(counted) AS events,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT `minute`, region, CAST(1 AS BIGINT) AS counted, kafka_time, closed
  FROM region_events
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', region,
    CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE region_events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, region
)
GROUP BY `minute`, region;

-- Money in millionths of the currency: exact, and a sum of integers.
CREATE TEMPORARY VIEW purchases AS
SELECT
  event_time, kafka_time, `minute`, closed,
  JSON_VALUE(properties, '$.currency') AS currency,
  CAST(TRY_CAST(JSON_VALUE(properties, '$.price') AS DECIMAL(18, 6)) * 1000000 AS BIGINT) AS price_micros
FROM minute_events
WHERE event_type = 'item_purchase' AND JSON_VALUE(properties, '$.currency') <> '';

CREATE TEMPORARY VIEW revenue_1min AS
SELECT
  `minute`, currency,
  SUM(counted) AS purchases,
  SUM(micros) AS gross_micros,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT
    `minute`, currency, CAST(1 AS BIGINT) AS counted, COALESCE(price_micros, CAST(0 AS BIGINT)) AS micros,
    kafka_time, closed
  FROM purchases
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', currency,
    CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE purchases, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, currency
)
GROUP BY `minute`, currency;

CREATE TEMPORARY VIEW feature_uses AS
SELECT event_time, kafka_time, `minute`, closed, JSON_VALUE(properties, '$.feature') AS feature
FROM minute_events
WHERE event_type = 'feature_used' AND JSON_VALUE(properties, '$.feature') <> '';

CREATE TEMPORARY VIEW feature_adoption_1min AS
SELECT
  `minute`, feature,
  SUM(counted) AS uses,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT `minute`, feature, CAST(1 AS BIGINT) AS counted, kafka_time, closed
  FROM feature_uses
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', feature,
    CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE feature_uses, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, feature
)
GROUP BY `minute`, feature;

CREATE TEMPORARY VIEW exposures AS
SELECT event_time, kafka_time, `minute`, closed, experiment, `variant`
FROM minute_events
WHERE event_type = 'experiment_exposure' AND experiment <> '' AND `variant` <> '';

CREATE TEMPORARY VIEW ab_live AS
SELECT
  `minute`, experiment, `variant`,
  SUM(counted) AS exposures,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT `minute`, experiment, `variant`, CAST(1 AS BIGINT) AS counted, kafka_time, closed
  FROM exposures
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', experiment, `variant`,
    CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE exposures, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, experiment, `variant`
)
GROUP BY `minute`, experiment, `variant`;
