"""Reads the running system: cuts and the content of the sinks."""
