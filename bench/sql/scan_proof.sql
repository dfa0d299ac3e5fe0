-- The columns that the boards, the search for copies and the ledger read, each of them decoded once.
SELECT
  max("partition"), max("offset"), max(item), max(kafka_timestamp), max(score), max(event_time_millis),
  max(newest_before), max(hash(user_id)), max(hash(team_id)), max(hash(team_name)), max(hash(event_id)),
  max(hash(reason)), max(hash(remark))
FROM archive
