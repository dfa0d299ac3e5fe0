-- The events that Kafka took at a time or later, which is in the variable `since`, milliseconds. ${counted}: the counted ones, or
-- those of a hypothesis.
CREATE OR REPLACE TEMP VIEW events AS
SELECT *
FROM ${counted}
WHERE kafka_timestamp >= getvariable('since')
