-- Machines and sources about which a rule found something in the last ten minutes. No addresses: an alert is sent elsewhere.
SELECT
  rule,
  count(*) FILTER (WHERE recent) AS value,
  max(level) AS level,
  coalesce(sum(attempts) FILTER (WHERE recent), 0)::bigint AS attempts_of_the_day,
  string_agg(DISTINCT host, ', ' ORDER BY host) FILTER (WHERE recent) AS hosts
FROM (
  SELECT rule, level, host, attempts, as_of > now() - INTERVAL '10 minutes' AS recent
  FROM attacks
  WHERE as_of > now() - INTERVAL '1 day'
) found
GROUP BY rule
