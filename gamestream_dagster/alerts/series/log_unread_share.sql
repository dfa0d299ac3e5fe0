-- Share of the log lines of the last 15 minutes that could not be read: of all, and of those about tries to log in by SSH.
-- With too few lines there is no value: nobody knows the share, and an open alert about it is not over.
SELECT about, CASE WHEN lines >= 20 THEN unread::double precision / lines END AS value, unread, lines
FROM (
  SELECT 'lines' AS about, sum(unread) AS unread, sum(lines) AS lines
  FROM log_lines_1min
  WHERE minute > now() - INTERVAL '15 minutes'
  UNION ALL
  SELECT 'ssh', sum(ssh_unread), sum(ssh_unread + ssh_lines)
  FROM log_lines_1min
  WHERE minute > now() - INTERVAL '15 minutes'
) counted
