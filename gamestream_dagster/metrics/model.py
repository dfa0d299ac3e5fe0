"""Values of settled days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from gamestream_dagster.metrics.compute import CausingEvent, CheckResult
from gamestream_dagster.metrics.source import ArchivedUpto

Inputs = Mapping[str, Mapping[date, int]]
"""Versions of the days that a day was computed from, by metric and day."""


class Reason(StrEnum):
    """Why a version of a day exists."""

    FIRST = "FIRST"  # the day was never settled before
    LATE_EVENTS = "LATE_EVENTS"  # events of the day were archived after it was settled
    INPUTS = "INPUTS"  # a day that it is computed from has a new version
    ERASED = "ERASED"  # players were erased since; nothing else changed
    DEFINITION = "DEFINITION"  # the query, columns or windows changed, or the device table


@dataclass(frozen=True)
class Settled:
    """The newest version of one day of one metric, as it is recorded."""

    metric: str
    day: date
    version: int
    settled_at: datetime
    reason: Reason
    rows: int
    digest: str
    fingerprint: str
    file: str
    """Relative to the folder of metrics."""
    file_sha256: str
    upto: ArchivedUpto | None
    """Up to where the archive was read; None for a metric that reads no events."""
    inputs: Inputs
    late_events: int
    failed_checks: tuple[str, ...]


@dataclass(frozen=True)
class NewVersion:
    """What is to be recorded of a computed day."""

    metric: str
    day: date
    version: int
    reason: Reason
    rows: int
    digest: str
    fingerprint: str
    file: str
    file_sha256: str
    upto: ArchivedUpto | None
    complete_at: Mapping[int, int] | None
    inputs: Inputs
    late_events: int
    causes: tuple[CausingEvent, ...]
    failed_checks: tuple[str, ...]


@dataclass(frozen=True)
class Settlement:
    """What became of settling one day of one metric."""

    metric: str
    day: date
    version: int
    changed: bool
    """The rows are others than before, or the first ones."""
    reason: Reason
    rows: int
    late_events: int
    checks: tuple[CheckResult, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """Checks that do not hold."""
        return tuple(one for one in self.checks if not one.passed)
