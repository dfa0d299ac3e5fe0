-- Digests of the ids that more than one accepted record carries, and the rare ones that two ids share. Digests take a fraction
-- of the memory that the ids would; `copies` looks at the ids themselves, for these few.
SELECT hash(user_id, event_id) AS digest
FROM archive
WHERE reason IS NULL AND event_id IS NOT NULL
GROUP BY digest
HAVING count(*) > 1
