-- The first two rows of a player who stands twice in one variant.
SELECT list(row ORDER BY row)[1:2] AS two
FROM (SELECT 1 + row_number() OVER () AS row, trim(user_id) AS user_id, trim(variant) AS variant FROM file)
WHERE user_id IN (SELECT user_id FROM repeated WHERE variants < times)
GROUP BY user_id, variant
HAVING count(*) > 1
ORDER BY two
LIMIT 1
