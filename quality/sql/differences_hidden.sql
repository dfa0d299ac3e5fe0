-- A run that says MATCH and yet keeps differences, or the reverse: one of the two tables was changed by hand.
SELECT * FROM {batch}
WHERE (verdict = 'MATCH' AND difference_id IS NOT NULL)
    OR (rows_different > 0 AND difference_id IS NULL)
    OR (rows_equal + rows_different <> rows_compared)
