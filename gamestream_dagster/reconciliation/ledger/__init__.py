"""Every record by its outcome, counted twice."""
