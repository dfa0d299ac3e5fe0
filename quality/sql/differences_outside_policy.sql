-- Differences of the last run that the policy does not accept, or that it never judged.
SELECT * FROM {batch} WHERE difference_id IS NOT NULL AND accepted IS NOT TRUE
