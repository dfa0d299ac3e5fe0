"""Errors of the enrichment tables."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class EnrichmentError(GamestreamError):
    """Root of the errors of enrichment."""


class TableError(EnrichmentError):
    """A table cannot be read, made or published.

    Args:
        reason: what is wrong, without a full stop.
        instruction: what to do next.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction
