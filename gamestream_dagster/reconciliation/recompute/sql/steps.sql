-- The points between the cuts in order of offset, one list for each key, group and partition.
-- $max_steps: a longer list comes back as NULL.
SELECT
  ${keys.over},
  CASE WHEN count(*) <= $max_steps THEN list(coalesce(points, 0) ORDER BY "offset") END AS scores
FROM events
JOIN keys USING (${over})
WHERE "offset" >= low_offset
GROUP BY ${keys.over}, ${events.groups}, "partition"
