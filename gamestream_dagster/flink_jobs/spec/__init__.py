"""A job's folder as values."""
