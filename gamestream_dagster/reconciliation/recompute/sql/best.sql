-- The best member of each key before the low cut: greatest sum of points, then smallest name.
SELECT ${keys.over}, ${events.member}, sum(points)::BIGINT AS total
FROM events
JOIN keys USING (${over})
WHERE "offset" < low_offset
GROUP BY ${keys.over}, ${events.member}
QUALIFY row_number() OVER (PARTITION BY ${keys.over} ORDER BY total DESC, ${events.member}) = 1
