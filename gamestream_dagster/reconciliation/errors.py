"""Why a reconciliation could not look. Each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class ReconciliationError(GamestreamError):
    """Root of this area; raised only as one of the classes below."""


class CouldNotLookError(ReconciliationError):
    """No verdict is possible now (job down, no checkpoint, archive behind): the run ends as `COULD_NOT_RUN`.

    Args:
        reason: what stood in the way, without a full stop.
        instruction: what to do next, as a clause.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction


class BoardNotUsableError(ReconciliationError):
    """A board's description or its `recompute.sql` cannot be reconciled; names the file and the mend."""
