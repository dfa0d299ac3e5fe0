DROP TABLE IF EXISTS bench_totals;
CREATE UNLOGGED TABLE bench_totals (user_id text COLLATE "C" PRIMARY KEY, total bigint NOT NULL)
