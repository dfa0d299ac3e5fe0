-- The copies of events: accepted records whose ids (${ids}) an earlier accepted one carries. The first by position
-- counts: by offset in its partition, and where an id is in several partitions (a producer keyed it wrongly), of their first
-- records the one that Kafka took first, then the one in the smaller partition.
-- since_previous: milliseconds of Kafka time since the previous record of the same id.
-- conflict: the events differ: something else would show if this record counted in place of the first one. first_...: the first
-- one. ${content}: the columns by which they can differ.
CREATE OR REPLACE TEMP TABLE copies AS
SELECT
  "partition",
  "offset",
  item,
  kafka_timestamp - lag(kafka_timestamp) OVER in_order AS since_previous,
  content <> first_value(content) OVER in_order AS conflict,
  first_value("partition") OVER in_order AS first_partition,
  first_value("offset") OVER in_order AS first_offset,
  first_value(item) OVER in_order AS first_item
FROM (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY ${ids} ORDER BY place_in_partition > 1, kafka_timestamp, "partition", "offset", item
    ) AS place
  FROM (
    SELECT
      "partition",
      "offset",
      item,
      kafka_timestamp,
      user_id,
      event_id,
      (${content}) AS content,
      row_number() OVER (PARTITION BY ${ids}, "partition" ORDER BY "offset", item) AS place_in_partition
    FROM archive
    SEMI JOIN repeated ON hash(${archive.ids}) = repeated.digest
    WHERE reason IS NULL AND event_id <> '' -- an empty id is no id
  )
)
WINDOW in_order AS (
  PARTITION BY ${ids} ORDER BY place > 1, kafka_timestamp, "partition", "offset", item
)
QUALIFY place > 1;
DROP TABLE repeated;
