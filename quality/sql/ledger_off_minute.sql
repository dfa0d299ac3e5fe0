-- Rows whose minute does not start on a minute.
SELECT * FROM {batch} WHERE minute <> date_trunc('minute', minute)
