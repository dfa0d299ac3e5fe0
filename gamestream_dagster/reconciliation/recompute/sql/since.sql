-- Kafka time from which on events count, milliseconds.
SET VARIABLE since = $since::BIGINT
