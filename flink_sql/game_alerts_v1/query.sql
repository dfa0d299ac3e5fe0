-- Abuse, by player or device and a stretch of event time. A row is there once its count reaches the job's threshold, and says
-- which events carry it. Like the live metrics each row has `as_of` and `final` (game_metrics_v1/query.sql says how): a group
-- is counted a second time in a window, whose only purpose is its end.
--
-- Everything is a count, a sum or a maximum, so that the order in which events come changes no row. The evidence is a sample
-- of bounded size: of each quarter of the ids, by MD5, the newest event.

CREATE TEMPORARY VIEW abuse_events AS
SELECT
  event_time, kafka_time, user_id, event_type, properties,
  CURRENT_WATERMARK(event_time) + INTERVAL '0.001' SECOND AS reached,
  DATE_FORMAT(event_time, 'yyyy-MM-dd') || 'T' || DATE_FORMAT(event_time, 'HH:mm:ss.SSS') || 'Z ' || event_id AS event_ref,
  MD5(event_id) AS id_digest
FROM counted_enriched_events
WHERE environment = 'production' AND user_id <> ''
  AND event_type IN ('item_purchase', 'refund', 'score', 'player_join')
  -- Postgres cannot hold NUL: one such text would stop the sink for ever
  AND POSITION(U&'\0000' IN event_id) = 0 AND POSITION('\u0000' IN properties) = 0;

CREATE TEMPORARY VIEW abuse_samples AS
SELECT
  event_time, kafka_time, user_id, event_type, properties, reached,
  CASE WHEN id_digest < '4' THEN event_ref ELSE '' END AS event_1,
  CASE WHEN id_digest >= '4' AND id_digest < '8' THEN event_ref ELSE '' END AS event_2,
  CASE WHEN id_digest >= '8' AND id_digest < 'c' THEN event_ref ELSE '' END AS event_3,
  CASE WHEN id_digest >= 'c' THEN event_ref ELSE '' END AS event_4
FROM abuse_events;

-- Many purchases of one player within ten minutes.
CREATE TEMPORARY VIEW abuse_purchases AS
SELECT
  *,
  CASE
    WHEN DATE_FORMAT(reached, 'yyyy-MM-dd HH:') || SUBSTRING(DATE_FORMAT(reached, 'mm') FROM 1 FOR 1) || '0:00Z' > begins
    THEN 1
    ELSE 0
  END AS closed
FROM (
  SELECT
    event_time, kafka_time, user_id, reached, event_1, event_2, event_3, event_4,
    DATE_FORMAT(event_time, 'yyyy-MM-dd HH:') || SUBSTRING(DATE_FORMAT(event_time, 'mm') FROM 1 FOR 1) || '0:00Z' AS begins
  FROM abuse_samples
  WHERE event_type = 'item_purchase'
);

CREATE TEMPORARY VIEW abuse_velocity AS
SELECT
  begins AS purchase_window, user_id, purchases,
  event_1, event_2, event_3, event_4, as_of, `final`
FROM (
  SELECT
    begins, user_id,
    SUM(counted) AS purchases,
    MAX(event_1) AS event_1,
    MAX(event_2) AS event_2,
    MAX(event_3) AS event_3,
    MAX(event_4) AS event_4,
    MAX(kafka_time) AS as_of,
    MAX(closed) = 1 AS `final`
  FROM (
    SELECT
      begins, user_id, CAST(1 AS BIGINT) AS counted,
      event_1, event_2, event_3, event_4, kafka_time, closed
    FROM abuse_purchases
    UNION ALL
    SELECT
      DATE_FORMAT(window_start, 'yyyy-MM-dd HH:') || SUBSTRING(DATE_FORMAT(window_start, 'mm') FROM 1 FOR 1) || '0:00Z',
      user_id,
      CAST(0 AS BIGINT), '', '', '', '', CAST(NULL AS TIMESTAMP_LTZ(3)), 1
    FROM TUMBLE(TABLE abuse_purchases, DESCRIPTOR(event_time), INTERVAL '10' MINUTE)
    GROUP BY window_start, window_end, user_id
  )
  GROUP BY begins, user_id
)
WHERE purchases >= CAST(${velocity_purchases} AS BIGINT);

-- Purchases at a price that is not on the list. What the list does not have is not judged.
CREATE TEMPORARY VIEW priced_purchases AS
SELECT
  *,
  CASE
    WHEN DATE_FORMAT(reached, 'yyyy-MM-dd HH:') || '00:00Z' > begins
    THEN 1
    ELSE 0
  END AS closed
FROM (
  SELECT
    event_time, kafka_time, user_id, reached, event_1, event_2, event_3, event_4,
    JSON_VALUE(properties, '$.item') AS bought_item,
    JSON_VALUE(properties, '$.currency') AS currency,
    CAST(TRY_CAST(JSON_VALUE(properties, '$.price') AS DECIMAL(18, 6)) * 1000000 AS BIGINT) AS price_micros,
    DATE_FORMAT(event_time, 'yyyy-MM-dd HH:') || '00:00Z' AS begins
  FROM abuse_samples
  WHERE event_type = 'item_purchase'
)
WHERE bought_item <> '' AND currency <> '' AND price_micros IS NOT NULL
  AND LOCATE('|' || bought_item || '/' || currency || '/', ${prices}) > 0
  AND LOCATE('|' || bought_item || '/' || currency || '/' || CAST(price_micros AS STRING) || '|', ${prices}) = 0;

CREATE TEMPORARY VIEW abuse_prices AS
SELECT
  begins AS purchase_hour, user_id, bought_item, currency, price_micros, purchases,
  event_1, event_2, event_3, event_4, as_of, `final`
FROM (
  SELECT
    begins, user_id, bought_item, currency, price_micros,
    SUM(counted) AS purchases,
    MAX(event_1) AS event_1,
    MAX(event_2) AS event_2,
    MAX(event_3) AS event_3,
    MAX(event_4) AS event_4,
    MAX(kafka_time) AS as_of,
    MAX(closed) = 1 AS `final`
  FROM (
    SELECT
      begins, user_id, bought_item, currency, price_micros, CAST(1 AS BIGINT) AS counted,
      event_1, event_2, event_3, event_4, kafka_time, closed
    FROM priced_purchases
    UNION ALL
    SELECT
      DATE_FORMAT(window_start, 'yyyy-MM-dd HH:') || '00:00Z',
      user_id, bought_item, currency, price_micros,
      CAST(0 AS BIGINT), '', '', '', '', CAST(NULL AS TIMESTAMP_LTZ(3)), 1
    FROM TUMBLE(TABLE priced_purchases, DESCRIPTOR(event_time), INTERVAL '1' HOUR)
    GROUP BY window_start, window_end, user_id, bought_item, currency, price_micros
  )
  GROUP BY begins, user_id, bought_item, currency, price_micros
);

-- Many refunds to one player on one day.
CREATE TEMPORARY VIEW refunds_paid AS
SELECT
  *,
  CASE
    WHEN DATE_FORMAT(reached, 'yyyy-MM-dd ') || '00:00:00Z' > begins
    THEN 1
    ELSE 0
  END AS closed
FROM (
  SELECT
    event_time, kafka_time, user_id, reached, event_1, event_2, event_3, event_4,
    COALESCE(
      CAST(TRY_CAST(JSON_VALUE(properties, '$.price_usd') AS DECIMAL(18, 6)) * 1000000 AS BIGINT), CAST(0 AS BIGINT)
    ) AS micros,
    DATE_FORMAT(event_time, 'yyyy-MM-dd ') || '00:00:00Z' AS begins
  FROM abuse_samples
  WHERE event_type = 'refund'
);

CREATE TEMPORARY VIEW abuse_refunds AS
SELECT
  begins AS refund_day, user_id, refunds, refunded_micros,
  event_1, event_2, event_3, event_4, as_of, `final`
FROM (
  SELECT
    begins, user_id,
    SUM(counted) AS refunds,
    SUM(micros) AS refunded_micros,
    MAX(event_1) AS event_1,
    MAX(event_2) AS event_2,
    MAX(event_3) AS event_3,
    MAX(event_4) AS event_4,
    MAX(kafka_time) AS as_of,
    MAX(closed) = 1 AS `final`
  FROM (
    SELECT
      begins, user_id, CAST(1 AS BIGINT) AS counted, micros,
      event_1, event_2, event_3, event_4, kafka_time, closed
    FROM refunds_paid
    UNION ALL
    SELECT
      DATE_FORMAT(window_start, 'yyyy-MM-dd ') || '00:00:00Z',
      user_id,
      CAST(0 AS BIGINT), CAST(0 AS BIGINT), '', '', '', '', CAST(NULL AS TIMESTAMP_LTZ(3)), 1
    FROM TUMBLE(TABLE refunds_paid, DESCRIPTOR(event_time), INTERVAL '1' DAY)
    GROUP BY window_start, window_end, user_id
  )
  GROUP BY begins, user_id
)
WHERE refunds >= CAST(${refunds_of_a_day} AS BIGINT);

-- More scores or points of one player within a minute than the game allows.
CREATE TEMPORARY VIEW scores_made AS
SELECT
  *,
  CASE
    WHEN DATE_FORMAT(reached, 'yyyy-MM-dd HH:mm') || ':00Z' > begins
    THEN 1
    ELSE 0
  END AS closed
FROM (
  SELECT
    event_time, kafka_time, user_id, reached, event_1, event_2, event_3, event_4,
    CASE
      WHEN REGEXP(JSON_VALUE(properties, '$.score'), '^[0-9]{1,13}$')
      THEN CAST(JSON_VALUE(properties, '$.score') AS BIGINT)
      ELSE CAST(0 AS BIGINT)
    END AS points,
    DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm') || ':00Z' AS begins
  FROM abuse_samples
  WHERE event_type = 'score'
);

CREATE TEMPORARY VIEW abuse_scores AS
SELECT
  begins AS score_minute, user_id, scores, score_points,
  event_1, event_2, event_3, event_4, as_of, `final`
FROM (
  SELECT
    begins, user_id,
    SUM(counted) AS scores,
    SUM(points) AS score_points,
    MAX(event_1) AS event_1,
    MAX(event_2) AS event_2,
    MAX(event_3) AS event_3,
    MAX(event_4) AS event_4,
    MAX(kafka_time) AS as_of,
    MAX(closed) = 1 AS `final`
  FROM (
    SELECT
      begins, user_id, CAST(1 AS BIGINT) AS counted, points,
      event_1, event_2, event_3, event_4, kafka_time, closed
    FROM scores_made
    UNION ALL
    SELECT
      DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z',
      user_id,
      CAST(0 AS BIGINT), CAST(0 AS BIGINT), '', '', '', '', CAST(NULL AS TIMESTAMP_LTZ(3)), 1
    FROM TUMBLE(TABLE scores_made, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
    GROUP BY window_start, window_end, user_id
  )
  GROUP BY begins, user_id
)
WHERE scores >= CAST(${scores_of_a_minute} AS BIGINT) OR score_points >= CAST(${points_of_a_minute} AS BIGINT);

-- Many players who join from one device on one day.
CREATE TEMPORARY VIEW device_joins AS
SELECT
  *,
  CASE
    WHEN DATE_FORMAT(reached, 'yyyy-MM-dd ') || '00:00:00Z' > begins
    THEN 1
    ELSE 0
  END AS closed
FROM (
  SELECT
    event_time, kafka_time, user_id, reached, event_1, event_2, event_3, event_4,
    JSON_VALUE(properties, '$.device_id') AS device_id,
    DATE_FORMAT(event_time, 'yyyy-MM-dd ') || '00:00:00Z' AS begins
  FROM abuse_samples
  WHERE event_type = 'player_join'
)
WHERE device_id <> '';

CREATE TEMPORARY VIEW abuse_devices AS
SELECT
  begins AS device_day, device_id, accounts, joins,
  event_1, event_2, event_3, event_4, as_of, `final`
FROM (
  SELECT
    begins, device_id,
    COUNT(DISTINCT player) AS accounts,
    SUM(counted) AS joins,
    MAX(event_1) AS event_1,
    MAX(event_2) AS event_2,
    MAX(event_3) AS event_3,
    MAX(event_4) AS event_4,
    MAX(kafka_time) AS as_of,
    MAX(closed) = 1 AS `final`
  FROM (
    SELECT
      begins, device_id, user_id AS player, CAST(1 AS BIGINT) AS counted,
      event_1, event_2, event_3, event_4, kafka_time, closed
    FROM device_joins
    UNION ALL
    SELECT
      DATE_FORMAT(window_start, 'yyyy-MM-dd ') || '00:00:00Z',
      device_id,
      CAST(NULL AS STRING), CAST(0 AS BIGINT), '', '', '', '', CAST(NULL AS TIMESTAMP_LTZ(3)), 1
    FROM TUMBLE(TABLE device_joins, DESCRIPTOR(event_time), INTERVAL '1' DAY)
    GROUP BY window_start, window_end, device_id
  )
  GROUP BY begins, device_id
)
WHERE accounts >= CAST(${accounts_of_a_device} AS BIGINT);
