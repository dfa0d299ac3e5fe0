"""Stored runs and their reports."""
