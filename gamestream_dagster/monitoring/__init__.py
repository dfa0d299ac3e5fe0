"""Collects the series that alerts are evaluated over, and exports them."""
