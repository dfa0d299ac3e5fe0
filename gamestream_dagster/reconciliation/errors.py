"""Errors of a reconciliation that could not run. Each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, InstructedError


class ReconciliationError(GamestreamError):
    """Root of this package's errors; raised only as one of the classes below."""


class CouldNotLookError(ReconciliationError, InstructedError):
    """No verdict is possible now (job down, no checkpoint, archive behind): the run ends as `COULD_NOT_RUN`."""


class BoardNotUsableError(ReconciliationError):
    """A board's description or its `recompute.sql` is invalid; names the file and the correction."""
