WITH added AS (
  SELECT user_id, parameters ->> '$.friend_id' AS friend_id
  FROM events
  WHERE event_name = 'friend_added'
),
ties AS (
  SELECT user_id, friend_id
  FROM added
  UNION
  SELECT friend_id, user_id
  FROM added
)
SELECT user_id, friend_id, $day AS date
FROM ties
WHERE user_id <> friend_id
