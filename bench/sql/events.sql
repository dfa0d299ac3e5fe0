-- Score events by number, the same for the same parameters. Scores of 1 to 20: at the first 0 of a team the first demo would
-- divide by zero and end. The clocks of players are up to 0.8 s slow.
-- `lots` has, for skewed players, the lower end of each player's share of all events; it is empty where all are alike.
WITH drawn AS (
  SELECT
    n,
    CAST(hash(n, $seed, 1) >> 11 AS DOUBLE) / 9007199254740992.0 AS lot,
    1 + CAST(hash(n, $seed, 2) % 20 AS INTEGER) AS score,
    $start_ms + (n * 1000) // $rate - CAST(hash(n, $seed, 3) % 800 AS BIGINT) AS event_time_millis
  FROM range($first, $last) AS numbers(n)
),
played AS (
  SELECT drawn.*, CASE WHEN $skewed THEN lots.player ELSE CAST(floor(lot * $players) AS BIGINT) END AS player
  FROM drawn
  ASOF LEFT JOIN lots ON drawn.lot >= lots.lower
),
named AS (
  SELECT
    n,
    format('USR-{:06d}', player) AS user_id,
    format('TEAM-{:05d}', player % $teams) AS team_id,
    format('Team {:05d}', player % $teams) AS team_name,
    score,
    event_time_millis,
    strftime(make_timestamp_ms(event_time_millis), '%Y-%m-%d %H:%M:%S.%g') AS readable_time,
    format('{:x}-{:d}', hash($seed, 4), n) AS event_id
  FROM played
)
SELECT
  * EXCLUDE (n),
  -- the wire format; no name holds a character that JSON would escape
  '{"user_id":"' || user_id || '","team_id":"' || team_id || '","team_name":"' || team_name || '","score":' || score
    || ',"event_time_millis":' || event_time_millis || ',"readable_time":"' || readable_time
    || '","event_type":"normal","event_id":"' || event_id || '"}' AS json
FROM named
ORDER BY n
