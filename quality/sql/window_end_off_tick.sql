-- Rows whose window does not end on a tick of event time.
SELECT * FROM {batch}
WHERE mod(extract(epoch FROM $as_of) * 1000, $tick_seconds * 1000) <> 0
