-- Rows that do not stand for a whole minute.
SELECT * FROM {batch} WHERE minute <> date_trunc('minute', minute)
