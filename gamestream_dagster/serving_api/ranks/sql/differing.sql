-- Players whose total no cut in the bracket gives. `shown`: player, total (as the set has them), over `events`.
-- A player's events lie in one partition: the total must be one of the running totals between the cuts. Of a player in
-- several partitions, which no order tells apart, any total between them may be.
WITH
sums AS (
  SELECT
    user_id,
    coalesce(sum(score) FILTER (WHERE "offset" < low_offset), 0)::BIGINT AS low_total,
    count(*) FILTER (WHERE "offset" < low_offset) AS low_events,
    sum(score)::BIGINT AS high_total,
    count(DISTINCT "partition") AS partitions
  FROM events
  GROUP BY user_id
),
unlike AS (
  SELECT coalesce(shown.player, sums.user_id) AS player, shown.total, sums.*
  FROM sums
  FULL JOIN shown ON shown.player = sums.user_id
  WHERE shown.total IS DISTINCT FROM sums.high_total
),
running AS (
  SELECT
    events.user_id,
    unlike.low_total + sum(events.score) OVER (
      PARTITION BY events.user_id ORDER BY events."partition", events."offset", events.item
    ) AS total
  FROM events
  JOIN unlike ON unlike.user_id = events.user_id
  WHERE events."offset" >= events.low_offset
),
wrong AS (
  SELECT player, total, low_total, high_total
  FROM unlike
  WHERE NOT CASE
    WHEN user_id IS NULL THEN false                                  -- a total of nobody's events
    WHEN total IS NULL THEN low_events = 0                           -- not there yet
    WHEN total = low_total AND low_events > 0 THEN true
    WHEN partitions > 1 THEN total BETWEEN low_total AND high_total
    ELSE EXISTS (FROM running WHERE running.user_id = unlike.user_id AND running.total = unlike.total)
  END
)
SELECT *, count(*) OVER () AS differing
FROM wrong
ORDER BY player
LIMIT $most
