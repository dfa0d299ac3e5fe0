-- How many records of a table of lines have which reason.
SELECT reason, count(*) AS records FROM ${table} GROUP BY reason ORDER BY records DESC, reason
