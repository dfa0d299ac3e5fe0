-- A verdict that contradicts the stored differences: one of the two tables was changed by hand.
SELECT * FROM {batch}
WHERE (verdict = 'MATCH' AND difference_id IS NOT NULL)
    OR (verdict = 'EXPLAINED' AND accepted IS NOT TRUE)
    OR (rows_different > 0 AND difference_id IS NULL)
    OR (rows_equal + rows_different <> rows_compared)
    OR (rows_unexplained > rows_different)
