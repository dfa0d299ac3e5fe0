-- A player's rank and the rows around, which the index gives without a sort.
WITH me AS (SELECT user_id, total FROM bench_totals WHERE user_id = %(player)s),
above AS (
  SELECT other.user_id, other.total FROM bench_totals AS other, me
  WHERE other.total > me.total OR (other.total = me.total AND other.user_id < me.user_id)
  ORDER BY other.total, other.user_id DESC LIMIT %(window)s
),
below AS (
  SELECT other.user_id, other.total FROM bench_totals AS other, me
  WHERE other.total < me.total OR (other.total = me.total AND other.user_id >= me.user_id)
  ORDER BY other.total DESC, other.user_id LIMIT %(window)s + 1
)
SELECT user_id, total, (
  SELECT 1 + count(*) FROM bench_totals AS other, me
  WHERE other.total > me.total OR (other.total = me.total AND other.user_id < me.user_id)
) AS rank_of_the_player
FROM (SELECT * FROM above UNION ALL SELECT * FROM below) AS rows
ORDER BY total DESC, user_id
