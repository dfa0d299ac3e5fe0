-- The counted events of some entities that lie before an idle gap: with the longest gap between them and the newest event of
-- their group, $least milliseconds or more. A state that is forgotten after such a gap no longer holds them.
WITH mine AS (
  SELECT records.*, ${bracketed.groups}
  FROM bracketed
  JOIN keys USING (${over})
  JOIN records USING ("partition", "offset", item)
),
gaps AS (
  SELECT *, lead(kafka_timestamp) OVER (PARTITION BY ${groups} ORDER BY "partition", "offset", item) - kafka_timestamp AS gap
  FROM mine
)
SELECT
  ${over}, "partition", "offset", item, kafka_timestamp, event_time_millis, score, event_id, reason, remark, copy,
  since_previous, late_by,
  max(gap) OVER (
    PARTITION BY ${groups} ORDER BY "partition", "offset", item ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
  ) AS longest_gap
FROM gaps
QUALIFY longest_gap >= $least
ORDER BY "partition", "offset", item
LIMIT $most
