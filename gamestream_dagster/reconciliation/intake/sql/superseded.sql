-- Of a position that a later run of the job wrote again, what the earlier runs wrote counts no more.
CREATE TEMP TABLE newest AS
SELECT raw_partition, raw_offset, max(era) AS era
FROM outputs
GROUP BY raw_partition, raw_offset
HAVING max(era) > min(era);
CREATE TEMP TABLE superseded AS
SELECT outputs.fate, count(*) AS records
FROM outputs
JOIN newest ON outputs.raw_partition = newest.raw_partition AND outputs.raw_offset = newest.raw_offset
WHERE outputs.era < newest.era
GROUP BY outputs.fate;
DELETE FROM outputs
USING newest
WHERE outputs.raw_partition = newest.raw_partition AND outputs.raw_offset = newest.raw_offset AND outputs.era < newest.era;
