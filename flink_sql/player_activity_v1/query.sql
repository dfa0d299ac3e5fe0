-- Who plays at this moment. Distinct players of every minute would need a set of players for every minute. Here each player is
-- counted in one minute only, that of the last event: the state is one entry for each player, and players who were there in the
-- last five minutes are the sum of the last five rows of a region. Sessions are counted in the same way.
--
-- The last event is found by one text that sorts like its time, with the region behind it: a MAX of it is right in whatever
-- order the events come.

CREATE TEMPORARY VIEW player_events AS
SELECT
  event_time, kafka_time, user_id, session_id, event_type, properties,
  DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm:ss.SSS') || COALESCE(region, 'unknown') AS seen
FROM counted_enriched_events
WHERE environment = 'production';

CREATE TEMPORARY VIEW players_seen AS
SELECT user_id, MAX(seen) AS seen
FROM player_events
WHERE user_id IS NOT NULL
GROUP BY user_id;

CREATE TEMPORARY VIEW online_players_by_region AS
SELECT `minute`, region, COUNT(*) AS players
FROM (
  SELECT SUBSTRING(seen, 1, 16) || ':00Z' AS `minute`, SUBSTRING(seen, 24) AS region
  FROM players_seen
)
GROUP BY `minute`, region;

-- `closed_until`: until when the session was seen to have ended. The end of a session window adds nothing but this: a count
-- without a window cannot see the watermark pass. An event that the window would drop as late says it itself.
CREATE TEMPORARY VIEW session_events AS
SELECT
  event_time, kafka_time, user_id, session_id, seen,
  CASE
    WHEN CURRENT_WATERMARK(event_time) >= event_time + INTERVAL '29:59.999' MINUTE TO SECOND
    THEN CAST(event_time + INTERVAL '30' MINUTE AS TIMESTAMP_LTZ(3))
  END AS closed_until
FROM player_events
WHERE user_id IS NOT NULL AND session_id IS NOT NULL;

CREATE TEMPORARY VIEW sessions AS
SELECT
  user_id, session_id,
  MIN(happened) AS started_at, MAX(happened) AS last_event_at, MAX(seen) AS seen, SUM(counted) AS events,
  MAX(kafka_time) AS as_of, MAX(closed_until) AS closed_until
FROM (
  SELECT
    user_id, session_id, CAST(event_time AS TIMESTAMP_LTZ(3)) AS happened, seen, CAST(1 AS BIGINT) AS counted, kafka_time,
    closed_until
  FROM session_events
  UNION ALL
  SELECT
    user_id, session_id, CAST(NULL AS TIMESTAMP_LTZ(3)), CAST(NULL AS STRING), CAST(0 AS BIGINT),
    CAST(NULL AS TIMESTAMP_LTZ(3)), CAST(SESSION_END(event_time, INTERVAL '30' MINUTE) AS TIMESTAMP_LTZ(3))
  FROM session_events
  -- the newer form, a table function, takes one column alone to partition by
  GROUP BY SESSION(event_time, INTERVAL '30' MINUTE), user_id, session_id
)
GROUP BY user_id, session_id;

CREATE TEMPORARY VIEW open_sessions_by_region AS
SELECT `minute`, region, COUNT(*) AS sessions
FROM (
  SELECT SUBSTRING(seen, 1, 16) || ':00Z' AS `minute`, SUBSTRING(seen, 24) AS region
  FROM sessions
)
GROUP BY `minute`, region;

CREATE TEMPORARY VIEW sessions_live AS
SELECT
  user_id, session_id, started_at, last_event_at, events, as_of,
  COALESCE(closed_until >= last_event_at + INTERVAL '30' MINUTE, FALSE) AS closed
FROM sessions;

-- Money in millionths of a dollar, by minute; game_metrics_v1 says how a minute closes.
CREATE TEMPORARY VIEW refunds AS
SELECT
  event_time, kafka_time,
  DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm') || ':00Z' AS `minute`,
  'USD' AS refund_currency,
  CAST(TRY_CAST(JSON_VALUE(properties, '$.price_usd') AS DECIMAL(18, 6)) * 1000000 AS BIGINT) AS refund_micros,
  CASE
    WHEN CURRENT_WATERMARK(event_time) >= FLOOR(event_time TO MINUTE) + INTERVAL '59.999' SECOND THEN 1 ELSE 0
  END AS closed
FROM player_events
WHERE event_type = 'refund';

CREATE TEMPORARY VIEW refunds_1min AS
SELECT
  `minute`, refund_currency,
  SUM(counted) AS refunds,
  SUM(micros) AS refunded_micros,
  MAX(kafka_time) AS as_of,
  MAX(closed) = 1 AS `final`
FROM (
  SELECT
    `minute`, refund_currency, CAST(1 AS BIGINT) AS counted, COALESCE(refund_micros, CAST(0 AS BIGINT)) AS micros,
    kafka_time, closed
  FROM refunds
  UNION ALL
  SELECT
    DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm') || ':00Z', refund_currency,
    CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(NULL AS TIMESTAMP_LTZ(3)), 1
  FROM TUMBLE(TABLE refunds, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)
  GROUP BY window_start, window_end, refund_currency
)
GROUP BY `minute`, refund_currency;
