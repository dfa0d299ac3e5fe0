-- The copies of events: accepted records whose (user_id, event_id) an earlier accepted one carries. The first by position
-- counts: by chapter of the archive, by offset in its partition, and where an id is in several partitions, of their first
-- records the one that Kafka took first, then the one in the smaller partition. The proofs of boards count the same way.
CREATE OR REPLACE TEMP TABLE copies AS
SELECT chapter, "partition", "offset", item
FROM (
  SELECT
    chapter, "partition", "offset", item, kafka_timestamp, user_id, event_id,
    row_number() OVER (
      PARTITION BY user_id, event_id, chapter, "partition" ORDER BY "offset", item
    ) AS place_in_partition
  FROM archive
  SEMI JOIN repeated ON hash(archive.user_id, archive.event_id) = repeated.digest
  WHERE reason IS NULL
)
QUALIFY row_number() OVER (
  PARTITION BY user_id, event_id
  ORDER BY chapter, place_in_partition > 1, kafka_timestamp, "partition", "offset", item
) > 1
