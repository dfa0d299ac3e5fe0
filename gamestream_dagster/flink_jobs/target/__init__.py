"""A job as it is deployed on this stack: rendered SQL, options, fingerprint."""
