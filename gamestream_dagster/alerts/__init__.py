"""Alerts: what stands, since when, and what it is about."""
