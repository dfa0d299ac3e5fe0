-- Rows of a last run whose verdict is not one that the policy accepts: differences outside it, or no look at all.
SELECT * FROM {batch} WHERE verdict NOT IN ('MATCH', 'EXPLAINED')
