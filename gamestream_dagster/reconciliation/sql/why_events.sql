-- The counted events of one key in order, with the running total; those behind a place and inside a window of event time.
-- $partition, $offset, $item: the last one that was seen. $most: how many to give.
SELECT *
FROM (
  SELECT
    bracketed."partition", bracketed."offset", bracketed.item, kafka_timestamp, event_time_millis, score, event_id,
    (sum(score) OVER (ORDER BY "partition", "offset", item))::BIGINT AS total,
    "offset" >= low_offset AS in_flight
  FROM bracketed
  JOIN keys USING (${over})
  WHERE event_time_millis >= $from_time AND event_time_millis < $to_time
)
WHERE ("partition", "offset", item) > ($partition, $offset, $item)
ORDER BY "partition", "offset", item
LIMIT $most
