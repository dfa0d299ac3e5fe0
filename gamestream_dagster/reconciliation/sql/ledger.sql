-- What became of every archived record, by partition and minute of its Kafka timestamp.
SELECT
  "partition" AS partition_id,
  kafka_timestamp // 60000 * 60000 AS minute,
  count(*) AS records,
  count(*) FILTER (WHERE reason IS NULL) AS accepted,
  count(reason) AS dead_lettered,
  -- an accepted record may carry a remark, such as UNKNOWN_FIELD
  histogram(coalesce(reason, remark)) FILTER (WHERE coalesce(reason, remark) IS NOT NULL) AS reasons,
  min("offset") AS first_offset,
  max("offset") AS last_offset
FROM archive
GROUP BY ALL
ORDER BY partition_id, minute
