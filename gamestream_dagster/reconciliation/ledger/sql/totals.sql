-- The ledger in one line.
SELECT
  coalesce(sum(records), 0)::BIGINT AS records,
  coalesce(sum(accepted), 0)::BIGINT AS accepted,
  coalesce(sum(duplicate), 0)::BIGINT AS duplicate,
  coalesce(sum(late), 0)::BIGINT AS late,
  coalesce(sum(dead_lettered), 0)::BIGINT AS dead_lettered
FROM minutes
