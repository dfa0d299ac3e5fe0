-- The greatest Kafka time of the events of each key: least, if only those before the low cut count, or only the first one; and
-- before the high cut.
SELECT
  ${keys.over},
  coalesce(max(kafka_timestamp) FILTER (WHERE "offset" < low_offset), min(kafka_timestamp)) AS low_newest,
  max(kafka_timestamp) AS high_newest
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
