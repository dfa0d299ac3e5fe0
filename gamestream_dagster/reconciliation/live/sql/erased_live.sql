-- Events of a day in game-events-enriched whose players were erased, by type. A position can be in two files.
SELECT event_type, count(DISTINCT ("partition", "offset", item)) AS events
FROM counts
WHERE environment = 'production' AND event_time_millis >= $from AND event_time_millis < $until
GROUP BY event_type
