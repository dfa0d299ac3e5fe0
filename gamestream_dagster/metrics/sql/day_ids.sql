-- Digests of the ids of a day's accepted events. All environments: a copy of an event of the sandbox is a copy, too.
CREATE OR REPLACE TEMP TABLE day_ids AS
SELECT DISTINCT hash(user_id, event_id) AS digest
FROM archive
WHERE reason IS NULL AND event_time_millis >= $from AND event_time_millis < $until
