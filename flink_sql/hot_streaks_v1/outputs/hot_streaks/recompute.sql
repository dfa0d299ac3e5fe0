-- The players whose last 10 s are hottest against their last 60 s. DuckDB, over `events`: the accepted events before a
-- cut. $as_of: end of the window, milliseconds of the epoch, not part of it; $rows: how many ranks to give.
--
-- A player without an event in the last 10 s has no short average, one whose long sum is 0 no ratio: neither has a row.
-- The order is exact: hotness is compared digit by digit in base 2^40 (long division in 128 bits). With products below
-- 2^86 two different ratios differ by more than 2^-172, so five digits tell them apart; beyond 2^86 DuckDB stops with
-- an overflow error, never with a wrong order.
WITH players AS (
  SELECT
    user_id,
    coalesce(sum(score) FILTER (WHERE event_time_millis >= $as_of - 10000), 0)::BIGINT AS short_term_sum,
    count(*) FILTER (WHERE event_time_millis >= $as_of - 10000) AS short_term_count,
    sum(score)::BIGINT AS long_term_sum,
    count(*) AS long_term_count
  FROM events
  WHERE event_time_millis >= $as_of - 60000 AND event_time_millis < $as_of
  GROUP BY user_id
),
hotness AS (
  SELECT
    *,
    short_term_sum::HUGEINT * long_term_count AS numerator,
    short_term_count::HUGEINT * long_term_sum AS denominator,
    numerator // denominator AS whole,
    numerator % denominator AS rest_0,
    (rest_0 * 1099511627776) // denominator AS digit_1,
    (rest_0 * 1099511627776) % denominator AS rest_1,
    (rest_1 * 1099511627776) // denominator AS digit_2,
    (rest_1 * 1099511627776) % denominator AS rest_2,
    (rest_2 * 1099511627776) // denominator AS digit_3,
    (rest_2 * 1099511627776) % denominator AS rest_3,
    (rest_3 * 1099511627776) // denominator AS digit_4,
    (rest_3 * 1099511627776) % denominator AS rest_4,
    (rest_4 * 1099511627776) // denominator AS digit_5
  FROM players
  WHERE short_term_count > 0 AND long_term_sum > 0
)
SELECT
  $as_of::BIGINT AS as_of,
  row_number() OVER (
    ORDER BY whole DESC, digit_1 DESC, digit_2 DESC, digit_3 DESC, digit_4 DESC, digit_5 DESC, user_id
  ) AS rnk,
  user_id,
  short_term_sum,
  short_term_count,
  long_term_sum,
  long_term_count,
  short_term_sum::DOUBLE / short_term_count AS short_term_avg,
  long_term_sum::DOUBLE / long_term_count AS long_term_avg,
  numerator::DOUBLE / denominator::DOUBLE AS peak_hotness
FROM hotness
ORDER BY rnk
LIMIT $rows
