-- What the archive holds of some minutes up to the offsets that the jobs had read of them.
-- suspects: id, partition_id, minute, upto (next offset). $first, $last: bounds of the minutes, milliseconds.
SELECT
  suspects.id,
  count(*) AS records,
  count(*) FILTER (WHERE reason IS NULL) AS accepted,
  count(*) FILTER (WHERE reason = 'ERASED') AS erased,
  sum("offset" % 1000000) AS offset_sum,
  sum(("offset" % 1000000) * ("offset" % 1000000)) AS offset_square_sum,
  min("offset") AS first_offset,
  max("offset") AS last_offset
FROM records
JOIN suspects
  ON records."partition" = suspects.partition_id
  AND records.kafka_timestamp // 60000 * 60000 = suspects."minute"
  AND records."offset" < suspects.upto
WHERE yielded AND kafka_timestamp >= $first AND kafka_timestamp < $last
GROUP BY suspects.id
