-- The seasons in which counted events before the cut lie, oldest first. $length, $shift: see catalogue/seasons.py.
SELECT DISTINCT event_time_millis - (event_time_millis + $shift) % $length AS season_start
FROM events
ORDER BY season_start
