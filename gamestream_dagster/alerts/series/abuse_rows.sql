-- Rows about abuse whose newest event came within the last hour, by kind; the evidence is the newest one's events, by time and id.
WITH found AS (
  SELECT 'velocity' AS abuse, as_of, event_1, event_2, event_3, event_4 FROM abuse_velocity
  UNION ALL
  SELECT 'prices', as_of, event_1, event_2, event_3, event_4 FROM abuse_prices
  UNION ALL
  SELECT 'refunds', as_of, event_1, event_2, event_3, event_4 FROM abuse_refunds
  UNION ALL
  SELECT 'scores', as_of, event_1, event_2, event_3, event_4 FROM abuse_scores
  UNION ALL
  SELECT 'devices', as_of, event_1, event_2, event_3, event_4 FROM abuse_devices
)
SELECT
  kind.abuse,
  count(found.abuse) AS value,
  max(found.as_of) AS newest,
  (array_agg(concat_ws(', ', NULLIF(event_1, ''), NULLIF(event_2, ''), NULLIF(event_3, ''), NULLIF(event_4, ''))
    ORDER BY found.as_of DESC))[1] AS events
FROM (VALUES ('velocity'), ('prices'), ('refunds'), ('scores'), ('devices')) AS kind (abuse)
LEFT JOIN found ON found.abuse = kind.abuse AND found.as_of > now() - INTERVAL '1 hour'
GROUP BY kind.abuse
