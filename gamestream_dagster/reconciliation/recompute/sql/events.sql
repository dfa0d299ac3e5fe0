-- The events of all time. ${counted}: the counted ones, or those of a hypothesis.
CREATE OR REPLACE TEMP VIEW events AS
FROM ${counted}
