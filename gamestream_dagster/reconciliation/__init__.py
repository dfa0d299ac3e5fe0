"""Reconciliation: the streamed boards against an independent recompute, at a bracket of cuts. No Dagster."""
