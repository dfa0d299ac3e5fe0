-- Every record, with the reason against it: NULL if it is accepted, which `points` says as 1. The times are judged by the
-- record's own Kafka time, so that a replay decides as the live job did; their reasons stand between those of the format.
-- Of a record of an erased player (docs/privacy.md) the format gives the reason ERASED and nothing else.
CREATE TEMPORARY VIEW checked_game_events AS
SELECT
  refused_because, field,
  COALESCE(event_id, CASE WHEN timeless THEN derived_id || '-' || CAST(kafka_millis AS STRING) ELSE derived_id END)
    AS event_id,
  user_id, session_id, event_type,
  CASE WHEN timeless THEN kafka_millis ELSE event_time END AS event_time,
  platform, app_version, country,
  -- of a country that the HTTP API has looked up; any producer can send the header
  COALESCE(geo_version, REGEXP_EXTRACT(DECODE(headers['gamestream-geo-version'], 'UTF-8'), '^[a-z0-9-]{1,60}$', 0))
    AS geo_version,
  device_model, device_category, device_tier, device_version, region, experiment, `variant`, environment, properties, digest,
  payload, not_text, kafka_time, kafka_partition, kafka_offset, proc_time,
  NOT timeless AND event_at < kafka_time - INTERVAL '10' MINUTE AS late,
  -- the minute in which Kafka took the record, milliseconds since 1970
  CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 60000 AS minute_millis,
  CASE WHEN refused_because IS NULL THEN CAST(1 AS BIGINT) END AS points
FROM (
  SELECT
    *,
    CASE
      WHEN reason IN (
        'NOT_UTF8', 'NOT_JSON', 'NOT_AVRO', 'NOT_AN_OBJECT', 'MISSING_FIELD', 'WRONG_TYPE', 'BAD_TIMESTAMP'
      ) THEN reason
      WHEN event_at > kafka_time + INTERVAL '1' HOUR THEN 'FUTURE_TIMESTAMP'
      WHEN event_at < kafka_time - INTERVAL '30' DAY THEN 'TOO_OLD'
      ELSE reason
    END AS refused_because
  FROM (
    SELECT
      *,
      TO_TIMESTAMP_LTZ(event_time, 3) AS event_at,
      -- an accepted event without a time of its own is an Avro record whose type may lack it: it has Kafka's
      reason IS NULL AND event_time IS NULL AS timeless,
      CAST(TIMESTAMPDIFF(SECOND, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 1000
        + EXTRACT(MILLISECOND FROM kafka_time) AS kafka_millis
    FROM game_events_raw
  )
);
