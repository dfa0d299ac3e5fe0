-- No id is remembered: every accepted event counts.
CREATE TEMPORARY VIEW told_game_events AS
SELECT *, CAST(1 AS BIGINT) AS copy, digest AS first_digest
FROM checked_game_events
WHERE points = 1;

CREATE TEMPORARY VIEW counted_game_events AS
SELECT * FROM told_game_events;
