-- Of the day's ids, those that more than one accepted record of all time carries, and the rare ones that two ids share.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT digest
FROM (
  SELECT hash(user_id, event_id) AS digest
  FROM archive
  WHERE reason IS NULL
)
SEMI JOIN day_ids USING (digest)
GROUP BY digest
HAVING count(*) > 1
