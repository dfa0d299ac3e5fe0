"""Streamed rows against what the recompute allows."""
