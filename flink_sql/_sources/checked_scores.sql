-- Every record that could be read, with `points`: the score if the record is accepted, else NULL.
-- The rule is the one of gamestream_dagster/events/acceptance.py; both are tested against one table of cases.
CREATE TEMPORARY VIEW checked_scores AS
SELECT
  user_id,
  team_id,
  event_time,
  proc_time,
  kafka_partition,
  kafka_offset,
  NULLIF(event_id, '') AS event_id, -- an empty id is no id
  -- CONCAT makes UTF-8 bytes of it at once: texts compare by their bytes on every board. What a reader hands out is a Java
  -- string, and Flink compares two of those by UTF-16, as MAX would before the first exchange. (`||` gives a Java string.)
  CONCAT('', team_name) AS team_name,
  -- the minute in which Kafka took the record, milliseconds since 1970
  CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 60000 AS minute_millis,
  CASE
    WHEN user_id <> '' AND team_id <> '' AND team_name IS NOT NULL
     AND CHAR_LENGTH(user_id) <= 200 AND CHAR_LENGTH(team_id) <= 200 AND CHAR_LENGTH(team_name) <= 200
     -- Postgres cannot hold NUL: one such name would stop the sink for ever
     AND POSITION(U&'\0000' IN user_id) = 0 AND POSITION(U&'\0000' IN team_id) = 0
     AND POSITION(U&'\0000' IN team_name) = 0
     -- only the canonical text of an integer: no fraction, no exponent, no sign but a minus
     AND CAST(TRY_CAST(score AS BIGINT) AS STRING) = CAST(score AS STRING)
     AND TRY_CAST(score AS BIGINT) BETWEEN 0 AND 1000000000000
     -- judged by the record's own Kafka time, so that a replay decides as the live job did
     AND event_time IS NOT NULL
     -- an erased player's scores count nowhere (docs/privacy.md); while nobody is erased, Flink plans no condition
     AND (${erased_players} = ''
       OR POSITION(SUBSTRING(SHA256(CONCAT(${erased_salt}, user_id)) FROM 1 FOR 16) IN ${erased_players}) = 0)
    THEN TRY_CAST(score AS BIGINT)
  END AS points
FROM user_score;
