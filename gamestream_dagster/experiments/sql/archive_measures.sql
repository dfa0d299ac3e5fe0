CREATE OR REPLACE TEMP TABLE measured (user_id VARCHAR, place INTEGER, events BIGINT, total DOUBLE)
