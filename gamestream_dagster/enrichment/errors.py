"""Errors of the enrichment tables."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, InstructedError


class EnrichmentError(GamestreamError):
    """Root of the errors of enrichment."""


class TableError(EnrichmentError, InstructedError):
    """A table cannot be read, made or published."""
