-- Rows whose rank is not their position: a gap, a double, or a start other than 1.
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY $rank) AS expected_rank FROM {batch}
) AS numbered
WHERE $rank <> expected_rank
