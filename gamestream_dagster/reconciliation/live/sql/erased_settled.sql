-- Events of a day in game-events-raw whose players were erased and which the day had settled, by type. Ids are hashed.
SELECT counts.event_type, count(DISTINCT (counts.user_id, counts.event_id)) AS events
FROM counts
JOIN settled_upto ON counts."partition" = settled_upto."partition" AND counts."offset" < settled_upto."offset"
WHERE counts.environment = 'production' AND counts.event_time_millis >= $from AND counts.event_time_millis < $until
GROUP BY counts.event_type
