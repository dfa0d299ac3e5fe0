-- Archive rows of one day of game events in one partition: accepted events of $players players, each with its own id; the
-- types, levels and prices are drawn by hash, the same for the same parameters. Every 500th record is a copy of the one
-- before, as a producer that sends again makes it.
WITH numbered AS (
  SELECT n, CASE WHEN n % 500 = 499 THEN n - 1 ELSE n END AS event
  FROM range($first, $last) AS numbers(n)
),
drawn AS (
  SELECT
    n,
    event,
    hash(event, $seed, 1) % $players AS player,
    hash(event, $seed, 2) % 100 AS kind,
    hash(event, $seed, 3) % 500 AS level_id,
    hash(event, $seed, 4) % 60 AS moves,
    $start_ms + (event * 86399999) // $events AS event_millis
  FROM numbered
)
SELECT
  $topic AS topic,
  CAST($partition AS INTEGER) AS "partition",
  n - $begins AS "offset",
  CAST(0 AS INTEGER) AS item,
  event_millis + 1000 AS kafka_timestamp,
  encode('USR-' || player) AS "key",
  CAST(NULL AS BLOB) AS "value",
  CAST(300 AS BIGINT) AS value_bytes,
  'accepted' AS outcome,
  CAST(NULL AS VARCHAR) AS reason,
  CAST(NULL AS VARCHAR) AS remark,
  md5(event || '-' || $seed) AS event_id,
  'USR-' || player AS user_id,
  event_millis AS event_time_millis,
  CASE
    WHEN kind < 30 THEN 'level_start'
    WHEN kind < 50 THEN 'level_complete'
    WHEN kind < 60 THEN 'level_fail'
    WHEN kind < 80 THEN 'feature_used'
    WHEN kind < 88 THEN 'currency_earned'
    WHEN kind < 94 THEN 'currency_spent'
    WHEN kind < 95 THEN 'item_purchase'
    ELSE 'chat_sent'
  END AS event_type,
  event_millis AS newest_before,
  's-' || player || '-' || (event_millis // 3600000) AS session_id,
  CASE hash(player, 5) % 2 WHEN 0 THEN 'ios' ELSE 'android' END AS platform,
  '1.' || (player % 4) AS app_version,
  'SE' AS country,
  CASE hash(player, 6) % 3 WHEN 0 THEN 'iPhone17,1' WHEN 1 THEN 'SM-S918B' ELSE 'Pixel 9' END AS device_model,
  'EU' AS region,
  CAST(NULL AS VARCHAR) AS experiment,
  CAST(NULL AS VARCHAR) AS variant,
  'production' AS environment,
  CASE
    WHEN kind < 30 THEN '{"level_id":' || level_id || '}'
    WHEN kind < 60 THEN
      '{"duration_sec":' || moves * 5 || ',"level_id":' || level_id || ',"moves_used":' || moves || ',"time_seconds":'
      || moves * 4 || '}'
    WHEN kind < 80 THEN '{"feature":"feature-' || level_id % 20 || '"}'
    WHEN kind < 88 THEN '{"amount":"' || moves || '","currency":"gold","source":"quest"}'
    WHEN kind < 94 THEN '{"amount":"' || moves || '","currency":"gold","sink":"shop"}'
    WHEN kind < 95 THEN '{"currency":"USD","item":"gems","price":"4.99"}'
    ELSE '{"channel":"guild"}'
  END AS properties,
  md5('content-' || event) AS digest,
  false AS late,
  CAST(NULL AS VARCHAR) AS field
FROM drawn
