-- First and last event time of each key: least far apart, if only the events before the low cut count, or only the first one to
-- come; and before the high cut. An event that comes alone may be any of those between the cuts.
SELECT
  ${keys.over},
  coalesce(min(event_time_millis) FILTER (WHERE "offset" < low_offset), max(event_time_millis)) AS low_first,
  min(event_time_millis) AS high_first,
  coalesce(max(event_time_millis) FILTER (WHERE "offset" < low_offset), min(event_time_millis)) AS low_last,
  max(event_time_millis) AS high_last
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
