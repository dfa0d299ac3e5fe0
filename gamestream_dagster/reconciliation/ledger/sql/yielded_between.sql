-- Rows that a job's reader makes of a range of offsets of one partition, both ends included.
SELECT count(*) AS records
FROM records
WHERE yielded AND "partition" = $partition_id AND "offset" BETWEEN $first AND $last
