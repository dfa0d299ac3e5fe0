-- Each record of game-events-raw goes to one of: enriched, late, dlq, or nowhere if it is a copy or of an erased player.
-- Scores go to the boards' own topic as well.

CREATE TEMPORARY VIEW game_events_enriched AS
SELECT
  event_id, user_id, session_id, event_type,
  event_time AS event_time_millis,
  DATE_FORMAT(TO_TIMESTAMP_LTZ(event_time, 3), 'yyyy-MM-dd') AS event_date,
  CAST(EXTRACT(HOUR FROM TO_TIMESTAMP_LTZ(event_time, 3)) AS INT) AS event_hour,
  -- 1 is Monday; 1970 began on a Thursday
  CAST(MOD(event_time / 86400000 + 3, 7) + 1 AS INT) AS day_of_week,
  platform, app_version, country, geo_version, device_model, device_category, device_tier, device_version, region,
  experiment, `variant`, environment,
  properties, digest,
  kafka_partition AS raw_partition, kafka_offset AS raw_offset
FROM counted_game_events
WHERE NOT late;

CREATE TEMPORARY VIEW game_events_late AS
SELECT
  event_id, user_id, session_id, event_type,
  event_time AS event_time_millis,
  platform, app_version, country, geo_version, device_model, device_category, device_tier, device_version, region,
  experiment, `variant`, environment,
  properties, digest,
  kafka_partition AS raw_partition, kafka_offset AS raw_offset
FROM counted_game_events
WHERE late;

CREATE TEMPORARY VIEW dead_letters AS
SELECT refused_because, field, event_id, user_id, event_type, payload, not_text, kafka_time, kafka_partition, kafka_offset,
  geo_version
FROM checked_game_events
WHERE refused_because <> 'ERASED'
UNION ALL
SELECT 'DUP_CONFLICT', 'event_id', event_id, user_id, event_type, payload, not_text, kafka_time, kafka_partition, kafka_offset,
  geo_version
FROM told_game_events
WHERE copy > 1 AND digest <> first_digest;

CREATE TEMPORARY VIEW game_events_dlq AS
SELECT
  refused_because AS reason,
  COALESCE(field, 'the record') || CASE refused_because
    WHEN 'NOT_UTF8' THEN ' is not UTF-8; send JSON in UTF-8'
    WHEN 'NOT_JSON' THEN ' is not strict JSON; send one JSON object'
    WHEN 'NOT_AVRO' THEN ' is Avro that cannot be read; register its schema before you send, see docs/game-events.md'
    WHEN 'NOT_AN_OBJECT' THEN ' is not an object; send one event as one object'
    WHEN 'MISSING_FIELD' THEN ' is missing, null or empty; send it'
    WHEN 'WRONG_TYPE' THEN ' is of another type than declared; see docs/game-events.md'
    WHEN 'BAD_TIMESTAMP' THEN ' is no usable time; send ISO-8601 with a zone, or milliseconds since 1970'
    WHEN 'FUTURE_TIMESTAMP' THEN ' is more than an hour ahead of Kafka; set the sender''s clock'
    WHEN 'TOO_OLD' THEN ' is more than 30 days old; load history with a backfill'
    WHEN 'UNKNOWN_EVENT_TYPE' THEN ' is no event type; `gamestream events types` lists them'
    WHEN 'OUT_OF_RANGE' THEN ' is outside its limits; see docs/game-events.md'
    WHEN 'TOO_LARGE' THEN ' is too large; shorten it'
    WHEN 'BAD_TEXT' THEN ' has a NUL character or half of a surrogate pair; remove it'
    ELSE ' came before with other content; give each event an id of its own'
  END AS sentence,
  field, event_id, user_id, event_type,
  CASE WHEN NOT not_text THEN DECODE(payload, 'UTF-8') END AS content,
  CASE WHEN not_text THEN payload END AS content_base64,
  'game-events-raw' AS source_topic,
  kafka_partition AS source_partition,
  kafka_offset AS source_offset,
  CAST(TIMESTAMPDIFF(SECOND, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 1000
    + EXTRACT(MILLISECOND FROM kafka_time) AS source_time_millis,
  geo_version
FROM dead_letters;

CREATE TEMPORARY VIEW scores AS
SELECT
  user_id,
  JSON_VALUE(properties, '$.team_id') AS team_id,
  JSON_VALUE(properties, '$.team_name') AS team_name,
  TRY_CAST(JSON_VALUE(properties, '$.score') AS BIGINT) AS score,
  event_time AS event_time_millis,
  'normal' AS event_type,
  event_id
FROM counted_game_events
WHERE NOT late AND event_type = 'score' AND environment = 'production';
