-- Differences with a cause and without what to do about it.
SELECT * FROM {batch} WHERE difference_id IS NOT NULL AND coalesce(action, '') = ''
