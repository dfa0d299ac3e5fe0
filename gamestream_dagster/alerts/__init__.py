"""Alerts: active conditions, their start and their subject."""
