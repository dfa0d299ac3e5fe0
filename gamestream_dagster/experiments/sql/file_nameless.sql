-- Rows without a player or a version, by their number in the file (the header is row 1).
SELECT row, coalesce(trim(user_id), '') = '' AS no_player
FROM (SELECT 1 + row_number() OVER () AS row, user_id, variant FROM file)
WHERE coalesce(trim(user_id), '') = '' OR coalesce(trim(variant), '') = ''
ORDER BY row
LIMIT 1
