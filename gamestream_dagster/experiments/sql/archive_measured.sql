-- One metric of the players: how many events of a type they had, and the sum of a property, in a span of milliseconds since
-- their exposure. An event at the moment of the exposure is neither before nor after it.
INSERT INTO measured
SELECT assigned.user_id, $place AS place, count(*) AS events,
  sum(TRY_CAST(json_extract_string(events.properties, $property) AS DOUBLE)) AS total
FROM assigned
JOIN events ON events.user_id = assigned.user_id
WHERE events.event_type = $event
  AND events.environment = 'production'
  AND events.event_time_millis - assigned.exposed_at BETWEEN $from_millis AND $to_millis
GROUP BY assigned.user_id
