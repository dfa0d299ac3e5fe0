-- The copies of events: accepted records whose (user_id, event_id) an earlier accepted one carries. Earlier is by position in a
-- partition; the first ones of several partitions (somebody keyed wrongly) are in the order of their Kafka time.
-- since_previous: milliseconds of Kafka time since the previous record of the same id.
SELECT
  "partition",
  "offset",
  item,
  kafka_timestamp - lag(kafka_timestamp) OVER (
    PARTITION BY user_id, event_id ORDER BY place > 1, kafka_timestamp, "partition", "offset", item
  ) AS since_previous
FROM (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY user_id, event_id ORDER BY place_in_partition > 1, kafka_timestamp, "partition", "offset", item
    ) AS place
  FROM (
    SELECT
      "partition",
      "offset",
      item,
      kafka_timestamp,
      user_id,
      event_id,
      row_number() OVER (PARTITION BY user_id, event_id, "partition" ORDER BY "offset", item) AS place_in_partition
    FROM archive
    SEMI JOIN repeated ON hash(archive.user_id, archive.event_id) = repeated.digest
    WHERE reason IS NULL AND event_id <> '' -- an empty id is no id
  )
)
QUALIFY place > 1
