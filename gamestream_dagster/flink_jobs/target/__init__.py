"""A job as deployed on this stack: rendered SQL, options, fingerprint."""
