"""What settling metrics raises."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError, Transient


class MetricError(GamestreamError):
    """A metric could not be settled or read.

    Args:
        reason: what happened, without a full stop.
        instruction: what to do next, as a clause.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction


class DayNotCompleteError(MetricError, Transient):
    """The archive may still lack events of the day."""


class MetricBusyError(MetricError, Transient):
    """Another run settles the same day of the same metric."""


class QueryUnusableError(MetricError):
    """A metric's query does not give what its description says."""


class NotSettledError(MetricError):
    """A day that is needed is not settled."""


class BeforeFirstEventError(MetricError):
    """The day is before the first event of the archive."""


class CheckFailedError(MetricError):
    """A day that is needed breaks a check of severity `fail`."""
