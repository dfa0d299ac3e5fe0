-- Days with accepted events of production among some files' records, and the newest ones that they were archived by.
SELECT CAST(make_timestamp_ms(event_time_millis) AS DATE) AS day, count(*) AS events
FROM archive
WHERE reason IS NULL AND environment = 'production'
GROUP BY ALL
ORDER BY day
