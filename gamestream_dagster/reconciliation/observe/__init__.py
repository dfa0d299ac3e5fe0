"""Reads the running system: cuts and what the sinks show."""
