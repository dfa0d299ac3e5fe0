-- By job: copies that the job counted, in the minutes that it has read whole. Only of jobs that drop copies at all.
SELECT job_minutes.job, sum(greatest(minutes.duplicate - job_minutes.duplicate, 0))::BIGINT AS copies
FROM job_minutes
JOIN minutes USING (partition_id, "minute")
WHERE job_minutes.last_offset = minutes.last_yielded
GROUP BY job_minutes.job
HAVING sum(job_minutes.duplicate) > 0
ORDER BY job_minutes.job
