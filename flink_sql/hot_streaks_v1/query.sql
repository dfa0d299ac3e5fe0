-- Hot streaks: at each tick of 5 s of event time, the average of the last 10 s over the average of the last 60 s.
-- A player with no event in the last 10 s has no short average, one whose long average is 0 no ratio: neither has a row.
--
-- A player has a row at a tick exactly when one of its last two slices holds an event. So one HOP window of two slices gives
-- the short term and all the rows; the long term is the sum of the newest slices over the last twelve ticks. The cost is
-- that of the slices that hold events, once each: windows of 60 s would merge twelve slices for each player and tick.

CREATE TEMPORARY VIEW halved_scores AS
SELECT slice_time, user_id, points, events, MOD(EXTRACT(SECOND FROM slice_time) / 5, 2) = 0 AS is_even
FROM slice_scores;

CREATE TEMPORARY VIEW last_slices AS
SELECT
  tick, user_id, short_term_sum, short_term_count,
  CASE WHEN tick_is_even THEN even_sum ELSE short_term_sum - even_sum END AS newest_sum,
  CASE WHEN tick_is_even THEN even_count ELSE short_term_count - even_count END AS newest_count
FROM (
  SELECT
    window_time AS tick, user_id,
    -- a slice is even or odd by its place in the minute; that of the tick is its newest one
    MOD(EXTRACT(SECOND FROM window_time) / 5, 2) = 0 AS tick_is_even,
    SUM(points) AS short_term_sum, SUM(events) AS short_term_count,
    SUM(CASE WHEN is_even THEN points ELSE 0 END) AS even_sum,
    SUM(CASE WHEN is_even THEN events ELSE 0 END) AS even_count
  FROM HOP(TABLE halved_scores, DESCRIPTOR(slice_time), INTERVAL '5' SECOND, INTERVAL '10' SECOND)
  GROUP BY window_start, window_end, window_time, user_id
);

CREATE TEMPORARY VIEW ticks AS
SELECT
  tick, user_id, short_term_sum, short_term_count,
  SUM(newest_sum) OVER last_minute AS long_term_sum, SUM(newest_count) OVER last_minute AS long_term_count
FROM last_slices
WINDOW last_minute AS (
  PARTITION BY user_id ORDER BY tick RANGE BETWEEN INTERVAL '55' SECOND PRECEDING AND CURRENT ROW
);

-- The order is that of the quotient (short sum / short count) / (long sum / long count) as a decimal with 19 places, not of
-- a float: enough to keep two quotients of a window apart while short count x long sum stays below three billion. Nine places
-- of it are compared first: 18 digits fit into a long (leaderboards_v1 says more).
CREATE TEMPORARY VIEW ranked_ticks AS
SELECT
  CAST(window_end AS TIMESTAMP_LTZ(3)) AS as_of, rnk, user_id,
  short_term_sum, short_term_count, long_term_sum, long_term_count, hotness
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY window_start, window_end ORDER BY CAST(hotness AS DECIMAL(18, 9)) DESC, hotness DESC, user_id ASC
    ) AS rnk
  FROM (
    SELECT *,
      CAST(short_term_sum * long_term_count AS DECIMAL(19, 0)) / CAST(short_term_count * long_term_sum AS DECIMAL(19, 0))
        AS hotness
    FROM TUMBLE(TABLE ticks, DESCRIPTOR(tick), INTERVAL '5' SECOND)
    WHERE short_term_count > 0 AND long_term_sum > 0
  )
)
WHERE rnk <= 10;

-- The newest row of each rank: the sink's key is the rank, and readers take the rows of the newest `as_of`.
CREATE TEMPORARY VIEW hot_streaks AS
SELECT
  as_of, rnk, user_id, short_term_sum, short_term_count, long_term_sum, long_term_count,
  CAST(short_term_sum AS DOUBLE) / short_term_count AS short_term_avg,
  CAST(long_term_sum AS DOUBLE) / long_term_count AS long_term_avg,
  -- from the integers: of a small quotient 19 places leave few digits
  CAST(short_term_sum * long_term_count AS DOUBLE) / CAST(short_term_count * long_term_sum AS DOUBLE) AS peak_hotness
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY rnk ORDER BY as_of DESC) AS newest
  FROM ranked_ticks
)
WHERE newest = 1;
