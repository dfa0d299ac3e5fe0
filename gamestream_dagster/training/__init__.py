"""Models that are trained from settled metrics: examples, fit, registry."""
