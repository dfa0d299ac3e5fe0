-- The archived records of some entities, as far as events are made of them.
CREATE OR REPLACE TEMP TABLE focus AS
SELECT archive.* EXCLUDE (topic, key, value)
FROM archive
SEMI JOIN keys USING (${over})
