-- How many records, counted or not, are about one key.
SELECT count(*) AS records
FROM records
JOIN keys USING (${over})
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset
