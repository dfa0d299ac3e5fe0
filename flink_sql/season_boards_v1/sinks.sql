-- The start of the season is text with its zone (_sources/season_scores.sql); Postgres reads it (stringtype=unspecified).
-- Two sinks for each board: a compacted Kafka topic (exactly once) and a Postgres table (upsert), both from one view.
-- Parallelism 1 keeps the rows of a board in order, and keeps two writers off one row.

CREATE TEMPORARY TABLE season_teams_topic (
  season_id STRING, rnk BIGINT, team_id STRING, team_name STRING, total_score BIGINT,
  PRIMARY KEY (season_id, rnk) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'season-teams',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json',
  'sink.parallelism' = '1',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'gamestream-season_boards_v1-season_teams'
);

CREATE TEMPORARY TABLE season_teams_table (
  season_id STRING, rnk BIGINT, team_id STRING, team_name STRING, total_score BIGINT,
  PRIMARY KEY (season_id, rnk) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = '${jdbc_url}?stringtype=unspecified',
  'table-name' = 'season_teams',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '500 ms',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);

CREATE TEMPORARY TABLE season_players_topic (
  season_id STRING, rnk BIGINT, user_id STRING, team_name STRING, total_score BIGINT,
  PRIMARY KEY (season_id, rnk) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'season-players',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json',
  'sink.parallelism' = '1',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'gamestream-season_boards_v1-season_players'
);

CREATE TEMPORARY TABLE season_players_table (
  season_id STRING, rnk BIGINT, user_id STRING, team_name STRING, total_score BIGINT,
  PRIMARY KEY (season_id, rnk) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = '${jdbc_url}?stringtype=unspecified',
  'table-name' = 'season_players',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '500 ms',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);

CREATE TEMPORARY TABLE season_mvps_topic (
  season_id STRING, rnk BIGINT, team_id STRING, team_name STRING, user_id STRING, player_total BIGINT, team_total BIGINT, contrib_ratio DOUBLE,
  PRIMARY KEY (season_id, rnk) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'season-mvps',
  'properties.bootstrap.servers' = ${kafka_bootstrap},
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json',
  'sink.parallelism' = '1',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'gamestream-season_boards_v1-season_mvps'
);

CREATE TEMPORARY TABLE season_mvps_table (
  season_id STRING, rnk BIGINT, team_id STRING, team_name STRING, user_id STRING, player_total BIGINT, team_total BIGINT, contrib_ratio DOUBLE,
  PRIMARY KEY (season_id, rnk) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = '${jdbc_url}?stringtype=unspecified',
  'table-name' = 'season_mvps',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '500 ms',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);

CREATE TEMPORARY TABLE ledger_table (
  job STRING, partition_id INT, minute_millis BIGINT, records BIGINT, accepted BIGINT, duplicate BIGINT,
  offset_sum BIGINT, offset_square_sum BIGINT, first_offset BIGINT, last_offset BIGINT,
  PRIMARY KEY (job, partition_id, minute_millis) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = ${jdbc_url},
  'table-name' = 'job_ledger',
  'username' = ${postgres_user},
  'password' = ${postgres_password},
  'sink.buffer-flush.max-rows' = '500',
  'sink.buffer-flush.interval' = '1 s',
  'sink.max-retries' = '5',
  'sink.parallelism' = '1'
);

EXECUTE STATEMENT SET BEGIN
INSERT INTO season_teams_topic SELECT season_id, rnk, team_id, team_name, total_score FROM season_teams_board;
INSERT INTO season_teams_table SELECT season_id, rnk, team_id, team_name, total_score FROM season_teams_board;
INSERT INTO season_players_topic SELECT season_id, rnk, user_id, team_name, total_score FROM season_players_board;
INSERT INTO season_players_table SELECT season_id, rnk, user_id, team_name, total_score FROM season_players_board;
INSERT INTO season_mvps_topic SELECT season_id, rnk, team_id, team_name, user_id, player_total, team_total, contrib_ratio FROM season_mvps_board;
INSERT INTO season_mvps_table SELECT season_id, rnk, team_id, team_name, user_id, player_total, team_total, contrib_ratio FROM season_mvps_board;
INSERT INTO ledger_table SELECT job, partition_id, minute_millis, records, accepted, duplicate, offset_sum, offset_square_sum, first_offset, last_offset FROM ledger;
END;
