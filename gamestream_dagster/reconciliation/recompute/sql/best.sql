-- The best member of each key before the low cut: greatest sum of scores, then smallest name.
SELECT ${keys.over}, ${bracketed.member}, sum(score)::BIGINT AS total
FROM bracketed
JOIN keys USING (${over})
WHERE "offset" < low_offset
GROUP BY ${keys.over}, ${bracketed.member}
QUALIFY row_number() OVER (PARTITION BY ${keys.over} ORDER BY total DESC, ${bracketed.member}) = 1
