-- The first value of a metric that is none, with the number of its row in the file (the header is row 1).
SELECT row, text
FROM (SELECT 1 + row_number() OVER () AS row, trim(texts[$place]) AS text FROM file)
WHERE CASE lower(text) WHEN 'true' THEN FALSE WHEN 'false' THEN FALSE ELSE
  TRY_CAST(text AS DOUBLE) IS NULL
  OR NOT isfinite(TRY_CAST(text AS DOUBLE))
  OR abs(TRY_CAST(text AS DOUBLE)) > $most
  OR ($proportion AND TRY_CAST(text AS DOUBLE) NOT IN (0, 1))
END
ORDER BY row
LIMIT 1
