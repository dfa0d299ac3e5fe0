-- Borders of the season whose events count, milliseconds of event time: its first one, and the first one after it.
SET VARIABLE season = {'first': $first::BIGINT, 'after': $after::BIGINT}
