-- The runs of $records record positions of one minute, or of the whole partition, whose sums are the ones looked for; two at most.
SELECT first_offset, last_offset
FROM (
  SELECT
    "offset" AS first_offset,
    last_value("offset") OVER run AS last_offset,
    count(*) OVER run AS records,
    sum("offset" % 1000000) OVER run AS offset_sum,
    sum(("offset" % 1000000) * ("offset" % 1000000)) OVER run AS offset_square_sum
  FROM records
  WHERE yielded AND "partition" = $partition_id AND "offset" < $upto
    AND kafka_timestamp >= $from_time AND kafka_timestamp < $to_time
  WINDOW run AS (ORDER BY "offset", item ROWS BETWEEN CURRENT ROW AND $records - 1 FOLLOWING)
)
WHERE records = $records AND offset_sum = $offset_sum AND offset_square_sum = $offset_square_sum
LIMIT 2
