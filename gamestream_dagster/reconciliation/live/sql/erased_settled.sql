-- Events of a day whose players were erased and which the day had settled, each id once; `counts` holds hashed ids.
CREATE OR REPLACE TEMP VIEW erased_settled AS
SELECT counts.*
FROM counts
JOIN settled_upto ON counts."partition" = settled_upto."partition" AND counts."offset" < settled_upto."offset"
WHERE
  counts.environment = 'production'
  AND counts.event_time_millis >= getvariable('day_begins')
  AND counts.event_time_millis < getvariable('day_ends')
QUALIFY row_number() OVER (PARTITION BY counts.user_id, counts.event_id ORDER BY counts."partition", counts."offset") = 1
