-- Enriched production scores against the boards' own topic, by player and id. Positions before the low cut must be there; no
-- identity may be there more often than it was enriched. scores: the archive of the boards' topic. $since: Kafka time from
-- which on that archive is whole. $runs: how often the job began to read from the beginning.
CREATE TEMP TABLE score_faults AS
WITH sent AS (
  SELECT
    archive.user_id,
    archive.event_id,
    count(*) AS enriched,
    count(*) FILTER (WHERE archive."offset" < cut.low AND archive.kafka_timestamp >= $since) AS sure,
    min(archive."partition") AS "partition",
    min(archive."offset") AS "offset",
    list(DISTINCT {
      'team_id': json_extract_string(archive.properties, '$.team_id'),
      'score': TRY_CAST(json_extract_string(archive.properties, '$.score') AS BIGINT)
    }) AS contents
  FROM archive
  JOIN cut ON archive."partition" = cut."partition" AND archive."offset" < cut.high
  JOIN found ON archive."partition" = found.raw_partition AND archive."offset" = found.raw_offset
  WHERE archive.reason IS NULL AND archive.event_type = 'score' AND archive.environment = 'production'
    AND found.enriched > 0
  GROUP BY archive.user_id, archive.event_id
), kept AS (
  SELECT
    scores.user_id,
    scores.event_id,
    count(*) AS records,
    list(DISTINCT {'team_id': scores.team_id, 'score': scores.score}) AS contents
  FROM scores
  SEMI JOIN sent ON scores.user_id = sent.user_id AND scores.event_id = sent.event_id
  GROUP BY scores.user_id, scores.event_id
)
SELECT
  sent."partition",
  sent."offset",
  sent.sure,
  CASE
    WHEN coalesce(kept.records, 0) < sent.sure THEN 'SCORE_MISSING'
    WHEN kept.records > sent.enriched * $runs THEN 'SCORE_DOUBLED'
    WHEN NOT list_has_all(sent.contents, kept.contents) THEN 'SCORE_CONTENT'
    ELSE 'OK'
  END AS verdict
FROM sent
LEFT JOIN kept ON sent.user_id = kept.user_id AND sent.event_id = kept.event_id
