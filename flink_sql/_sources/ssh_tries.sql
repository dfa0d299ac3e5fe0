-- Tries to log in. sshd, PAM and the line `Invalid user` report one and the same try, in any number and order, so a line adds
-- as many tries as the greatest of the three counts of its connection grows by it.
CREATE TEMPORARY VIEW ssh_lines AS
SELECT
  host, program, pid, message, kind, repeats, source, country, kafka_time, kafka_partition, kafka_offset, proc_time,
  -- a line without a time of its own: the second in which Kafka took it
  COALESCE(
    millis,
    CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), kafka_time) AS BIGINT) * 60000
      + CAST(EXTRACT(SECOND FROM kafka_time) AS BIGINT) * 1000
  ) AS millis,
  CASE WHEN kind = 'failed' THEN repeats ELSE CAST(0 AS BIGINT) END AS by_sshd,
  CASE WHEN kind IN ('pam_failure', 'pam_more') THEN repeats ELSE CAST(0 AS BIGINT) END AS by_pam,
  CASE WHEN kind = 'invalid_user' THEN repeats ELSE CAST(0 AS BIGINT) END AS by_user
FROM log_lines
WHERE source IS NOT NULL;

CREATE TEMPORARY VIEW ssh_connections AS
SELECT
  *,
  SUM(by_sshd) OVER connection_lines AS all_by_sshd,
  SUM(by_pam) OVER connection_lines AS all_by_pam,
  SUM(by_user) OVER connection_lines AS all_by_user
FROM ssh_lines
WINDOW connection_lines AS (
  PARTITION BY host, pid, source ORDER BY proc_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
);

CREATE TEMPORARY VIEW ssh_tries AS
SELECT
  host, program, message, kind, repeats, source, country, millis, kafka_time, kafka_partition, kafka_offset, proc_time,
  GREATEST(all_by_sshd, all_by_pam, all_by_user)
    - GREATEST(all_by_sshd - by_sshd, all_by_pam - by_pam, all_by_user - by_user) AS tries
FROM ssh_connections;
