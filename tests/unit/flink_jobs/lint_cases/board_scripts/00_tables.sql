-- Boards as a tutorial would write them, with faults. A mark at the end of a line names the rules that must find it:
-- `finds` by its text alone, `plans` by Flink's planner.
USE CATALOG lake;
DROP TABLE IF EXISTS scores; -- finds: GS11
CREATE TABLE scores (
  `player`  STRING,
  squad_id  STRING,
  squad_name STRING,
  points    INT,
  millis    BIGINT,
  happened  AS TO_TIMESTAMP_LTZ(millis, 3),
  WATERMARK FOR happened AS happened - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'scores',
  'properties.bootstrap.servers' = 'broker:9092',
  'format' = 'avro-confluent',
  'avro-confluent.basic-auth.credentials-source' = 'USER_INFO',
  'avro-confluent.basic-auth.user-info' = 'someone:hush', -- finds: GS09
  'scan.startup.mode' = 'latest-offset' -- finds: GS01
);
CREATE TABLE squads (place BIGINT, squad_id STRING, squad_name STRING, total BIGINT, PRIMARY KEY (place) NOT ENFORCED)
WITH (
  'connector' = 'upsert-kafka',
  'sink.parallelism' = '3' -- finds: GS14
);
CREATE TABLE players (place BIGINT, player STRING, total BIGINT, PRIMARY KEY (place) NOT ENFORCED)
WITH (
  'connector' = 'jdbc',
  'url' = 'jdbc:postgresql://db:5432/games?user=me&password=hush', -- finds: GS09
  'table-name' = 'players',
  'password' = 'hush', -- finds: GS09
  'sink.parallelism' = '1'
);
CREATE TABLE streaks (place BIGINT, player STRING, heat DOUBLE, PRIMARY KEY (place) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka');
CREATE TABLE bests (place BIGINT, player STRING, squad_name STRING, share DOUBLE, PRIMARY KEY (place) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka');
CREATE TABLE totals (squad_id STRING, total BIGINT, PRIMARY KEY (total) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka');
CREATE TABLE pairs (player STRING, here BIGINT, there BIGINT) WITH ('connector' = 'blackhole');
