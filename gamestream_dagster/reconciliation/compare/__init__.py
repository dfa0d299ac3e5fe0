"""Compares streamed rows with the range that the recompute allows."""
