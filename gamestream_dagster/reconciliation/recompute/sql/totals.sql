-- The sum of scores of each key, before the low and before the high cut.
SELECT
  ${keys.over},
  coalesce(sum(score) FILTER (WHERE "offset" < low_offset), 0)::BIGINT AS low_total,
  sum(score)::BIGINT AS high_total,
  count(*) FILTER (WHERE "offset" < low_offset) AS low_events,
  count(*) AS high_events
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
