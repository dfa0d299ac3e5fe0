-- What the archive holds of some minutes up to the offsets that a job had counted of them, without the runs that it lost.
-- wanted: id, partition_id, minute, upto and low (next offsets). lost: partition_id, first_offset, last_offset.
-- $first, $last: bounds of the minutes, milliseconds. unsettled: accepted records that the job's count of copies may not tell yet.
SELECT
  wanted.id,
  count(*) AS records,
  count(*) FILTER (WHERE reason IS NULL) AS accepted,
  count(*) FILTER (WHERE copy) AS copies,
  count(*) FILTER (WHERE reason IS NULL AND "offset" >= wanted.low) AS unsettled,
  histogram(reason) FILTER (WHERE reason IS NOT NULL) AS reasons,
  histogram(remark) FILTER (WHERE reason IS NULL AND NOT copy AND remark IS NOT NULL) AS remarks
FROM records
JOIN wanted
  ON records."partition" = wanted.partition_id
  AND records.kafka_timestamp // 60000 * 60000 = wanted."minute"
  AND records."offset" < wanted.upto
ANTI JOIN lost
  ON records."partition" = lost.partition_id
  AND records."offset" >= lost.first_offset AND records."offset" <= lost.last_offset
WHERE yielded AND kafka_timestamp >= $first AND kafka_timestamp < $last
GROUP BY wanted.id
