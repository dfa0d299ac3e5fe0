-- The greatest Kafka time of the events of each key, before the low and before the high cut.
SELECT
  ${keys.over},
  max(kafka_timestamp) FILTER (WHERE "offset" < low_offset) AS low_newest,
  max(kafka_timestamp) AS high_newest
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
