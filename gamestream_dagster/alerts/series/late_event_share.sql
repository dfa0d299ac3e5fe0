-- Share of late events of the newest hour that a topic's ledger holds; the ledger is written with each proof.
WITH newest AS (
  SELECT topic, max(minute) AS minute FROM ledger GROUP BY topic
)
SELECT
  ledger.topic,
  sum(ledger.late)::double precision / NULLIF(sum(ledger.records), 0) AS value,
  sum(ledger.late) AS late,
  sum(ledger.records) AS records,
  max(ledger.last_offset) AS last_offset
FROM ledger
JOIN newest ON newest.topic = ledger.topic AND ledger.minute > newest.minute - INTERVAL '1 hour'
GROUP BY ledger.topic
HAVING sum(ledger.records) >= 100
