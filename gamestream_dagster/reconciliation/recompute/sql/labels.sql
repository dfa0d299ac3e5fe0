-- The greatest text of each key before the low cut, and the texts that came between the cuts.
SELECT
  ${keys.over},
  max(${events.label}) FILTER (WHERE "offset" < low_offset) AS low_label,
  list(DISTINCT ${events.label}) FILTER (WHERE "offset" >= low_offset) AS later_labels
FROM events
JOIN keys USING (${over})
GROUP BY ${keys.over}
