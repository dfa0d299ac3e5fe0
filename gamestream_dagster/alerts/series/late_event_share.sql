-- Share of late events of the newest hour that a topic's ledger holds; the ledger is written with each proof.
-- A topic with too few events stays, without a value: nobody knows its share, and an open alert about it is not over.
WITH newest AS (
  SELECT topic, max(minute) AS minute FROM ledger GROUP BY topic
)
SELECT
  ledger.topic,
  CASE WHEN sum(ledger.records) >= 100 THEN sum(ledger.late)::double precision / sum(ledger.records) END AS value,
  sum(ledger.late) AS late,
  sum(ledger.records) AS records,
  max(ledger.last_offset) AS last_offset
FROM ledger
JOIN newest ON newest.topic = ledger.topic AND ledger.minute > newest.minute - INTERVAL '1 hour'
GROUP BY ledger.topic
