-- Differences with a cause and without an action.
SELECT * FROM {batch} WHERE difference_id IS NOT NULL AND coalesce(action, '') = ''
