-- recompute.sql as a Flink batch query, over the same `events`. $as_of: end of the window, milliseconds of the epoch, not part
-- of it; $rows: how many ranks to give.
--
-- The order is exact: hotness is compared digit by digit in base 10^12 (long division in decimals of 38 places; the quotient
-- of x - MOD(x, y) and y has no rest). A score is at most 10^12: with 8 million events of a player in the window no sum
-- wraps and the products stay below 2^86, so two different ratios differ by more than 2^-172, and five digits tell them
-- apart. With more events a division by zero ends the job: an error, never a wrong order.
SELECT
  CAST($as_of AS BIGINT) AS as_of, rnk, user_id, short_term_sum, short_term_count, long_term_sum, long_term_count,
  CAST(short_term_sum AS DOUBLE) / short_term_count AS short_term_avg,
  CAST(long_term_sum AS DOUBLE) / long_term_count AS long_term_avg,
  CAST(numerator AS DOUBLE) / CAST(denominator AS DOUBLE) AS peak_hotness
FROM (
  SELECT *,
    ROW_NUMBER() OVER (
      ORDER BY whole DESC, digit_1 DESC, digit_2 DESC, digit_3 DESC, digit_4 DESC, digit_5 DESC, user_id ASC
    ) AS rnk
  FROM (
    SELECT *, (rest_4 - MOD(rest_4, denominator)) / denominator AS digit_5
    FROM (
      SELECT *,
        (rest_3 - MOD(rest_3, denominator)) / denominator AS digit_4,
        MOD(rest_3, denominator) * 1000000000000 AS rest_4
      FROM (
        SELECT *,
          (rest_2 - MOD(rest_2, denominator)) / denominator AS digit_3,
          MOD(rest_2, denominator) * 1000000000000 AS rest_3
        FROM (
          SELECT *,
            (rest_1 - MOD(rest_1, denominator)) / denominator AS digit_2,
            MOD(rest_1, denominator) * 1000000000000 AS rest_2
          FROM (
            SELECT *,
              (rest_0 - MOD(rest_0, denominator)) / denominator AS digit_1,
              MOD(rest_0, denominator) * 1000000000000 AS rest_1
            FROM (
              SELECT *,
                (numerator - MOD(numerator, denominator)) / denominator AS whole,
                MOD(numerator, denominator) * 1000000000000 AS rest_0
              FROM (
                SELECT *
                FROM (
                  SELECT *,
                    CAST(short_term_sum AS DECIMAL(26, 0)) * long_term_count AS numerator,
                    CAST(long_term_sum AS DECIMAL(26, 0)) * short_term_count AS denominator
                  FROM (
                    SELECT user_id,
                      COALESCE(SUM(score) FILTER (WHERE event_time_millis >= $as_of - 10000), 0) AS short_term_sum,
                      COUNT(*) FILTER (WHERE event_time_millis >= $as_of - 10000) AS short_term_count,
                      SUM(score) AS long_term_sum,
                      COUNT(*) AS long_term_count
                    FROM events
                    WHERE event_time_millis >= $as_of - 60000 AND event_time_millis < $as_of
                    GROUP BY user_id
                  )
                )
                WHERE short_term_count > 0 AND long_term_sum > 0
                  AND 1 / CASE WHEN long_term_count <= 8000000 THEN 1 ELSE 0 END = 1
              )
            )
          )
        )
      )
    )
  )
)
WHERE rnk <= $rows
