-- A last run whose verdict is not a good one: rows outside the policy, a ledger that does not balance, or no look at all.
SELECT * FROM {batch} WHERE verdict NOT IN ('MATCH', 'EXPLAINED')
