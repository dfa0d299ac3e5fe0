-- A player's rank: those that come before, counted in the index's order.
SELECT 1 + (
  SELECT count(*) FROM bench_totals AS other
  WHERE other.total > me.total OR (other.total = me.total AND other.user_id < me.user_id)
) AS rank, me.total
FROM bench_totals AS me
WHERE me.user_id = %(player)s
