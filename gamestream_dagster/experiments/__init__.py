"""Experiments: frozen plans, assignment, estimates, the readout and its certificate. No Dagster in here."""
