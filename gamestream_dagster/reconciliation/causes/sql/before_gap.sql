-- The counted events of some entities that lie before an idle gap: the longest gap between them and the newest event of
-- their group is $least milliseconds or more. A state that is forgotten after such a gap no longer holds them.
WITH mine AS (
  SELECT
    records.*,
    lead(kafka_timestamp) OVER (PARTITION BY ${records.groups} ORDER BY records."partition", "offset", item)
      - kafka_timestamp AS gap
  FROM records
  JOIN keys USING (${over})
  JOIN cut ON records."partition" = cut."partition"
  WHERE records."offset" < cut.high_offset AND records.reason IS NULL AND NOT records.copy
)
SELECT
  *,
  max(gap) OVER (
    PARTITION BY ${groups} ORDER BY "partition", "offset", item ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
  ) AS longest_gap
FROM mine
QUALIFY longest_gap >= $least
ORDER BY "partition", "offset", item
LIMIT $most
