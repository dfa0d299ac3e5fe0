"""Errors of a drill. Each message says what happened and what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class DrillError(GamestreamError):
    """A precondition of a scenario did not occur, or a drill may not run here."""
