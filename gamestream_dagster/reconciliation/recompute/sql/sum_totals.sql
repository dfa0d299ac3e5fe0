-- `player_totals` as a table: boards at one cut would each read the archive for themselves.
CREATE OR REPLACE TEMP TABLE summed AS
FROM player_totals
