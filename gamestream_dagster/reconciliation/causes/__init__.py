"""Explains differences: tries hypotheses until the recompute yields the sink's row."""
