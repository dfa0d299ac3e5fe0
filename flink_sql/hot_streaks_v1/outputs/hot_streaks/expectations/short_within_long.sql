-- The last 10 s are part of the last 60 s: neither their sum nor their count is greater
SELECT * FROM {batch} WHERE short_term_sum > long_term_sum OR short_term_count > long_term_count
