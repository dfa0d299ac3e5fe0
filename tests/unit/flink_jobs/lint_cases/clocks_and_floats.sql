CREATE TABLE samples (id STRING, ratio DOUBLE, ok INT, ts TIMESTAMP(3), read_at AS PROCTIME())
WITH ('connector' = 'datagen');
CREATE TABLE marks (id STRING, ratio DOUBLE, ts TIMESTAMP(3)) WITH ('connector' = 'datagen');
CREATE TABLE results (id STRING, ratio DOUBLE, at_time TIMESTAMP_LTZ(3)) WITH ('connector' = 'print');
INSERT INTO results SELECT id, ratio,
  CURRENT_TIMESTAMP -- finds: GS07
FROM samples
WHERE ratio > 0.5; -- finds: GS06
INSERT INTO results SELECT id, 0.1,
  read_at -- finds: GS07
FROM samples WHERE ok = 1;
INSERT INTO results SELECT id, ratio, ts FROM (
  SELECT *,
    ROW_NUMBER() OVER (PARTITION BY id ORDER BY ratio DESC, id ASC) AS n -- finds: GS04 GS06
  FROM samples
) WHERE n <= 3;
INSERT INTO results SELECT id, MAX(ratio), window_end
FROM TUMBLE(TABLE marks, DESCRIPTOR(ts), INTERVAL '1' MINUTE) -- finds: GS08
GROUP BY id, window_start, window_end;
