-- A last run that compared no row: nothing is proven by it.
SELECT * FROM {batch} WHERE coalesce(rows_compared, 0) = 0
