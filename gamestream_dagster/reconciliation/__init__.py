"""Reconciliation: compares the streamed boards with an independent recompute at a bracket of cuts. No Dagster."""
