-- Differences of the last run without a cause.
SELECT * FROM {batch}
WHERE difference_id IS NOT NULL AND (cause IS NULL OR cause = 'UNEXPLAINED')
