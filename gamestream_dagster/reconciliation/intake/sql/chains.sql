-- Accepted records whose (user_id, event_id) another accepted one carries, in the order in which intake saw them: by offset.
-- Where an id is in several partitions (a producer keyed it wrongly) that order is not known: the one that was counted is the
-- first. counted: it is in an output as accepted. known_digest: of the record that the job compared it with, which is the
-- newest one that it counted, or else the first.
-- may_be_forgotten: the id may have expired in the job's state before this record: the previous record came at least $horizon
-- milliseconds before this one was written.
CREATE TEMP TABLE repeated AS
SELECT hash(user_id, event_id) AS id_hash
FROM archive
JOIN cut ON archive."partition" = cut."partition" AND archive."offset" < cut.high
WHERE reason IS NULL
GROUP BY id_hash
HAVING count(*) > 1;

CREATE TEMP TABLE chains AS
SELECT
  "partition",
  "offset",
  row_number() OVER in_order AS place,
  first_value("partition") OVER in_order AS first_partition,
  first_value("offset") OVER in_order AS first_offset,
  last_value(CASE WHEN counted OR is_first THEN digest END IGNORE NULLS) OVER (
    in_order ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS known_digest,
  written_at - lag(kafka_timestamp) OVER in_order >= $horizon AS may_be_forgotten
FROM (
  SELECT *, row_number() OVER in_order = 1 AS is_first
  FROM (
    SELECT
      *,
      min("partition") OVER id <> max("partition") OVER id AS spread,
      row_number() OVER (PARTITION BY user_id, event_id, "partition" ORDER BY "offset", item) AS place_in_partition
    FROM (
      SELECT
        archive."partition", archive."offset", archive.item, archive.kafka_timestamp, archive.user_id, archive.event_id,
        archive.digest, found.written_at, coalesce(found.enriched + found.late, 0) > 0 AS counted
      FROM archive
      JOIN cut ON archive."partition" = cut."partition" AND archive."offset" < cut.high
      LEFT JOIN found ON archive."partition" = found.raw_partition AND archive."offset" = found.raw_offset
      SEMI JOIN repeated ON hash(archive.user_id, archive.event_id) = repeated.id_hash
      WHERE archive.reason IS NULL
    )
    WINDOW id AS (PARTITION BY user_id, event_id)
  )
  WINDOW in_order AS (
    PARTITION BY user_id, event_id
    ORDER BY NOT (spread AND counted AND place_in_partition = 1), place_in_partition > 1,
      CASE WHEN spread THEN kafka_timestamp END, place_in_partition, "partition"
  )
)
WINDOW in_order AS (
  PARTITION BY user_id, event_id
  ORDER BY NOT (spread AND counted AND place_in_partition = 1), place_in_partition > 1,
    CASE WHEN spread THEN kafka_timestamp END, place_in_partition, "partition"
)
QUALIFY count(*) OVER (PARTITION BY user_id, event_id) > 1
