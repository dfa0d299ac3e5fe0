-- DuckDB, over `events`: ends of the windows, newest first, that hold an event in their last tick and have ended.
SELECT DISTINCT (event_time_millis // $tick_millis + 1) * $tick_millis AS as_of
FROM events
WHERE (event_time_millis // $tick_millis + 1) * $tick_millis <= $ended_millis
ORDER BY as_of DESC
LIMIT $most
