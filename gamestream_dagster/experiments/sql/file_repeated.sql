-- Players of several rows. Those of one row for each of several variants are crossovers; others stand twice in one.
CREATE TABLE repeated AS
SELECT user_id, count(*) AS times, count(DISTINCT variant) AS variants
FROM file_rows
GROUP BY user_id
HAVING count(*) > 1
