-- The sum of points of each key, before the low and before the high cut.
SELECT
  ${keys.over},
  coalesce(sum(points) FILTER (WHERE "offset" < low_offset), 0)::BIGINT AS low_total,
  coalesce(sum(points), 0)::BIGINT AS high_total,
  count(*) FILTER (WHERE "offset" < low_offset) AS low_events,
  count(*) AS high_events
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
