-- `player_totals` by the table that sum_totals.sql has made.
CREATE OR REPLACE TEMP VIEW player_totals AS
FROM summed
