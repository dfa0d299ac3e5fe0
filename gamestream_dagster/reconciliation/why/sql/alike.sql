-- The keys whose texts are most like one that is not known.
SELECT DISTINCT ${over}, jaro_winkler_similarity(concat_ws(',', ${over}), $wanted) AS alike
FROM records
WHERE reason IS NULL
ORDER BY alike DESC, ${over}
LIMIT 3
