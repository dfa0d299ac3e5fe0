-- What the archive holds of one partition before an offset: what a job that has read so far should have counted.
SELECT
  count(*) AS records,
  count(*) FILTER (WHERE reason IS NULL) AS accepted,
  count(*) FILTER (WHERE reason = 'ERASED') AS erased,
  coalesce(sum("offset" % 1000000), 0) AS offset_sum,
  coalesce(sum(("offset" % 1000000) * ("offset" % 1000000)), 0) AS offset_square_sum,
  min("offset") AS first_offset,
  max("offset") AS last_offset
FROM records
WHERE yielded AND "partition" = $partition_id AND "offset" < $upto
