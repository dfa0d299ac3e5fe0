-- Digests of the ids that more than one accepted record carries, and the rare ones that two ids share. Digests take a fraction
-- of the memory that the ids would; `copies` looks at the ids themselves, for these few. Sorted, and not grouped: most ids
-- stand alone, and a group for each costs more than to look at one's neighbour.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT digest
FROM (
  SELECT digest, lag(digest) OVER (ORDER BY digest) AS previous
  FROM (
    SELECT hash(${ids}) AS digest
    FROM archive
    WHERE reason IS NULL AND event_id <> ''
  )
)
WHERE digest = previous
