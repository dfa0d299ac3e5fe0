-- Minutes whose offsets are not in order. Minutes may overlap: they are those of the Kafka timestamp, which producers set.
SELECT * FROM {batch}
WHERE first_offset IS NULL OR last_offset IS NULL OR first_offset < 0 OR last_offset < first_offset
