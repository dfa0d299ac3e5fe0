-- What the outputs hold of each raw position. mark and content are compared only where there is one record.
CREATE TEMP TABLE found AS
SELECT
  raw_partition,
  raw_offset,
  count(*) FILTER (WHERE fate = 'enriched') AS enriched,
  count(*) FILTER (WHERE fate = 'late') AS late,
  count(*) FILTER (WHERE fate = 'dead') AS dead,
  count(*) AS records,
  min(mark) AS mark,
  min(content) AS content,
  min(written_at) AS written_at
FROM outputs
GROUP BY raw_partition, raw_offset
