WITH counted AS (
  SELECT
    count(*) FILTER (WHERE event_name = 'chat_sent') AS messages,
    count(DISTINCT user_id) FILTER (WHERE event_name = 'chat_sent') AS message_senders,
    count(*) FILTER (WHERE event_name = 'guild_joined') AS guild_joins
  FROM events
),
pairs AS (
  SELECT count(*) AS pairs_played
  FROM (
    SELECT DISTINCT
      least(user_id, parameters ->> '$.other_user_id') AS one,
      greatest(user_id, parameters ->> '$.other_user_id') AS other
    FROM events
    WHERE event_name = 'match_played_together' AND user_id <> parameters ->> '$.other_user_id'
  )
),
friends AS (
  SELECT count(*) // 2 AS friends_added -- a tie has a row for each of the two
  FROM friend_ties
  WHERE date = $day
),
with_friend AS (
  SELECT DISTINCT user_id
  FROM friend_ties
  WHERE date < $day
),
cohort AS (
  SELECT
    with_friend.user_id IS NOT NULL AS befriended,
    active.user_id IS NOT NULL AS retained
  FROM installs
  LEFT JOIN with_friend ON installs.user_id = with_friend.user_id
  LEFT JOIN user_daily_metrics AS active ON installs.user_id = active.user_id
  WHERE installs.date = $day - 7
),
retention AS (
  SELECT
    count(*) FILTER (WHERE befriended) AS with_friend,
    count(*) FILTER (WHERE befriended AND retained) AS with_friend_retained,
    count(*) FILTER (WHERE NOT befriended) AS without_friend,
    count(*) FILTER (WHERE NOT befriended AND retained) AS without_friend_retained
  FROM cohort
)
SELECT
  $day AS date,
  counted.messages,
  counted.message_senders,
  friends.friends_added,
  counted.guild_joins,
  pairs.pairs_played,
  retention.with_friend AS d7_with_friend,
  retention.with_friend_retained AS d7_with_friend_retained,
  retention.with_friend_retained / nullif(retention.with_friend, 0) AS d7_with_friend_rate,
  retention.without_friend AS d7_without_friend,
  retention.without_friend_retained AS d7_without_friend_retained,
  retention.without_friend_retained / nullif(retention.without_friend, 0) AS d7_without_friend_rate
FROM counted, pairs, friends, retention
