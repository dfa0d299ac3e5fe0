"""What settling metrics raises."""

from __future__ import annotations

from gamestream_dagster.errors import InstructedError, Transient


class MetricError(InstructedError):
    """A metric could not be settled or read."""


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
