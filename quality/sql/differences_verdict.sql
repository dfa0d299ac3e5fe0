-- A last run with a bad verdict: rows outside the policy, an unbalanced ledger, or a run that could not look.
SELECT * FROM {batch} WHERE verdict NOT IN ('MATCH', 'EXPLAINED')
