"""Settled metrics: days of game events from the archive, computed by DuckDB, kept in Postgres. No Flink, no Dagster."""
