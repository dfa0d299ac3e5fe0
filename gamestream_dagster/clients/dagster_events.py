"""What was done outside of Dagster, as events for the pages of its assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportedCheck:
    """The result of one asset check, found outside of Dagster."""

    name: str
    passed: bool
    warning: bool = False
    """A failure that is worth knowing and no more."""
    told: str = ""


@dataclass(frozen=True)
class Reported:
    """What was done to one asset outside of Dagster. Without `materialised` it is an observation."""

    asset: tuple[str, ...]
    metadata: Mapping[str, str | int | float | bool]
    materialised: bool = True
    checks: tuple[ReportedCheck, ...] = ()
