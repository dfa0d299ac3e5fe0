-- The number of different values of each key, before the low and before the high cut.
SELECT
  ${keys.over},
  count(DISTINCT ${events.column}) FILTER (WHERE "offset" < low_offset) AS low,
  count(DISTINCT ${events.column}) AS high
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
