-- How many subjects have each key by their last event: at least, those that had it at every moment between the cuts; at most,
-- those that had it at one of them. A subject keeps its key until a later event gives it another one; of events at one time
-- the one with the greatest key is the last.
WITH placed AS NOT MATERIALIZED ( -- read twice rather than held: it is every event
  SELECT *
  FROM (SELECT event_time_millis, ${key}, ${subject}, "offset" >= low_offset AS since FROM events)
  WHERE COLUMNS(*) IS NOT NULL
),
settled AS (
  SELECT unnest(place)
  FROM (
    SELECT max(one) AS place
    FROM (SELECT event_time_millis, ${key}, ${subject} FROM placed WHERE NOT since) AS one
    GROUP BY ${subject}
  )
),
moved AS (
  SELECT ${placed.key}, ${subject}
  FROM placed
  LEFT JOIN settled USING (${subject})
  WHERE placed.since
    AND (
      settled.event_time_millis IS NULL
      OR (placed.event_time_millis, ${placed.key}) > (settled.event_time_millis, ${settled.key})
    )
),
gone AS (
  SELECT DISTINCT ${subject}
  FROM settled
  JOIN moved USING (${subject})
  WHERE (${settled.key}) <> (${moved.key})
),
ever AS (
  SELECT ${key}, ${subject} FROM settled
  UNION
  SELECT ${key}, ${subject} FROM moved
),
stayed AS (
  SELECT ${key}, count(*) AS subjects
  FROM settled
  ANTI JOIN gone USING (${subject})
  GROUP BY ${key}
)
SELECT ${ever.key}, coalesce(any_value(stayed.subjects), 0) AS low_subjects, count(*) AS high_subjects
FROM ever
JOIN keys USING (${key})
LEFT JOIN stayed USING (${key})
GROUP BY ${ever.key}
