-- Every event of the topic: intake has dropped the copies.
CREATE TEMPORARY VIEW counted_enriched_events AS
SELECT * FROM checked_enriched_events WHERE points = 1;
