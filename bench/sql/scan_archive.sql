-- The columns that the boards and the search for copies read, each of them decoded once.
SELECT
  max("partition"), max("offset"), max(item), max(kafka_timestamp), max(score), max(event_time_millis),
  max(hash(user_id)), max(hash(team_id)), max(hash(team_name)), max(hash(event_id)), max(hash(reason))
FROM archive
