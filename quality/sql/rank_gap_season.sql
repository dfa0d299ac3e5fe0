-- Rows whose rank is not their position in their season: a gap, a double, or a start other than 1.
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY $season ORDER BY $rank) AS expected_rank FROM {batch}
) AS numbered
WHERE $rank <> expected_rank
