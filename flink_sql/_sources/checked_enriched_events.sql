-- Every record that could be read, with `points`: 1 if it is an event, NULL if somebody else than intake wrote what no event
-- can be. The rule is that of gamestream_dagster/catalogue/event_types/enriched_event.yaml.
CREATE TEMPORARY VIEW checked_enriched_events AS
SELECT
  event_id, user_id, session_id, event_type, event_time, region, experiment, `variant`, environment, properties,
  kafka_time, kafka_partition, kafka_offset,
  -- the minute of the Kafka time, milliseconds since 1970
  CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 60000 AS minute_millis,
  CASE
    WHEN event_id <> '' AND event_type <> '' AND environment IS NOT NULL AND properties IS NOT NULL
     AND CHAR_LENGTH(event_id) <= 200
     AND (user_id IS NULL OR CHAR_LENGTH(user_id) <= 200)
     AND (session_id IS NULL OR CHAR_LENGTH(session_id) <= 200)
     AND CHAR_LENGTH(event_type) <= 200
     AND (region IS NULL OR CHAR_LENGTH(region) <= 200)
     AND (experiment IS NULL OR CHAR_LENGTH(experiment) <= 200)
     AND (`variant` IS NULL OR CHAR_LENGTH(`variant`) <= 200)
     -- Postgres cannot hold NUL: one such text would stop the sink for ever
     AND (user_id IS NULL OR POSITION(U&'\0000' IN user_id) = 0)
     AND (session_id IS NULL OR POSITION(U&'\0000' IN session_id) = 0)
     AND POSITION(U&'\0000' IN event_type) = 0
     AND (region IS NULL OR POSITION(U&'\0000' IN region) = 0)
     AND (experiment IS NULL OR POSITION(U&'\0000' IN experiment) = 0)
     AND (`variant` IS NULL OR POSITION(U&'\0000' IN `variant`) = 0)
     AND event_time IS NOT NULL
     -- an erased player's events count nowhere (docs/privacy.md); while nobody is erased, Flink plans no condition
     AND (${erased_players} = '' OR user_id IS NULL
       OR POSITION(SUBSTRING(SHA256(CONCAT(${erased_salt}, user_id)) FROM 1 FOR 16) IN ${erased_players}) = 0)
    THEN CAST(1 AS BIGINT)
  END AS points
FROM game_events_enriched;
