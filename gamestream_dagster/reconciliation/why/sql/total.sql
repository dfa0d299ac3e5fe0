-- How many counted events one key has, their sum, and how many lie between the cuts.
SELECT count(*) AS events, coalesce(sum(points), 0)::BIGINT AS total, count(*) FILTER (WHERE "offset" >= low_offset) AS in_flight
FROM events
JOIN keys USING (${over})
WHERE event_time_millis >= $from_time AND event_time_millis < $to_time
