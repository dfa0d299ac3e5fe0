-- The minutes that a job counted otherwise than the archive's whole minute, or not at all though its low cut is beyond their
-- beginning. Most of them are only not finished: `held_by_archive` looks closer. A minute that the job read beyond the high
-- cut cannot be compared.
-- job_low: job, partition_id, low (next offset). job_minutes: what the jobs counted.
SELECT
  coalesce(counted.job, held.job) AS job,
  coalesce(counted.partition_id, held.partition_id) AS partition_id,
  coalesce(counted."minute", held."minute") AS "minute",
  coalesce(counted.records, 0) AS records,
  coalesce(counted.accepted, 0) AS accepted,
  coalesce(counted.duplicate, 0) AS duplicate,
  coalesce(counted.offset_sum, 0) AS offset_sum,
  coalesce(counted.offset_square_sum, 0) AS offset_square_sum,
  counted.first_offset,
  counted.last_offset,
  greatest(coalesce(counted.last_offset + 1, 0), coalesce(job_low.low, 0)) AS upto
FROM (
  SELECT job_low.job, job_low.low, minutes.*
  FROM minutes
  JOIN job_low USING (partition_id)
  WHERE minutes.yielded > 0
) AS held
FULL JOIN job_minutes AS counted
  ON held.job = counted.job AND held.partition_id = counted.partition_id AND held."minute" = counted."minute"
LEFT JOIN job_low
  ON coalesce(counted.job, held.job) = job_low.job
  AND coalesce(counted.partition_id, held.partition_id) = job_low.partition_id
LEFT JOIN cut ON coalesce(counted.partition_id, held.partition_id) = cut."partition"
WHERE CASE
  WHEN counted.job IS NULL THEN held.first_yielded < held.low
  WHEN counted.last_offset >= coalesce(cut.high_offset, 0) THEN false
  ELSE held.job IS NULL
    OR counted.records <> held.yielded
    OR counted.accepted + counted.duplicate
      NOT BETWEEN held.records - held.dead_lettered AND held.records - held.dead_lettered + held.erased
    OR counted.offset_sum <> held.offset_sum
    OR counted.offset_square_sum <> held.offset_square_sum
    OR counted.first_offset <> held.first_yielded
    OR counted.last_offset <> held.last_yielded
  END
ORDER BY job, partition_id, "minute"
