"""Dagster: code server, webserver and daemon (filled in later)."""
SERVICES = ()
