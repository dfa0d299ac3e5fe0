"""Errors of the security logs; each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import InstructedError


class RuleError(InstructedError):
    """A Sigma rule that cannot be used; names the file and the place, never a log line."""


class ShippingError(InstructedError):
    """Log lines that cannot be shipped; names the file, never a line of it."""
