"""Errors of a reconciliation that could not run. Each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class ReconciliationError(GamestreamError):
    """Root of this package's errors; raised only as one of the classes below."""


class CouldNotLookError(ReconciliationError):
    """No verdict is possible now (job down, no checkpoint, archive behind): the run ends as `COULD_NOT_RUN`.

    Args:
        reason: the obstacle, without a full stop.
        instruction: what to do next, as a clause.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction


class BoardNotUsableError(ReconciliationError):
    """A board's description or its `recompute.sql` is invalid; names the file and the correction."""
