-- The ledger before the cut: what became of every record, by partition and minute of its Kafka timestamp. $late: milliseconds.
-- The `yielded` columns are what a job counts by itself: rows that its reader hands out, and the sums by which a run of
-- offsets is known.
CREATE OR REPLACE TEMP TABLE minutes AS
SELECT
  records."partition" AS partition_id,
  kafka_timestamp // 60000 * 60000 AS "minute",
  count(*) AS records,
  count(*) FILTER (WHERE reason IS NULL AND NOT copy AND coalesce(late_by <= $late, true)) AS accepted,
  count(*) FILTER (WHERE copy) AS duplicate,
  count(*) FILTER (WHERE reason IS NULL AND NOT copy AND late_by > $late) AS late,
  count(reason) AS dead_lettered,
  -- emptied when its player was erased: a job may have accepted it before, and accepts it no more when it starts again
  count(*) FILTER (WHERE reason = 'ERASED') AS erased,
  histogram(reason) FILTER (WHERE reason IS NOT NULL) AS reasons,
  -- an accepted record may carry a remark, such as UNKNOWN_FIELD; of a copy it is that its content is not that of the first
  histogram(CASE WHEN conflict THEN 'DUP_CONFLICT' ELSE remark END)
    FILTER (WHERE conflict OR remark IS NOT NULL) AS remarks,
  min("offset") AS first_offset,
  max("offset") AS last_offset,
  count(*) FILTER (WHERE yielded) AS yielded,
  min("offset") FILTER (WHERE yielded) AS first_yielded,
  max("offset") FILTER (WHERE yielded) AS last_yielded,
  coalesce(sum("offset" % 1000000) FILTER (WHERE yielded), 0) AS offset_sum,
  coalesce(sum(("offset" % 1000000) * ("offset" % 1000000)) FILTER (WHERE yielded), 0) AS offset_square_sum
FROM records
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" < cut.high_offset
GROUP BY ALL
