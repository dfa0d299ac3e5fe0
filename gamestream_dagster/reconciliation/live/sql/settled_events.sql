-- The settled events of a day, with the columns that those of live metrics have.
CREATE OR REPLACE TEMP VIEW settled_events AS
SELECT *, 'production' AS environment, epoch_ms(event_time) AS event_time_millis, epoch_ms(event_time) AS kafka_timestamp
FROM game_events
