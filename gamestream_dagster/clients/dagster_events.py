"""Changes made outside Dagster, as events for the pages of its assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportedCheck:
    """The result of one asset check, obtained outside Dagster."""

    name: str
    passed: bool
    warning: bool = False
    """An informational failure."""
    told: str = ""


@dataclass(frozen=True)
class Reported:
    """A change to one asset outside Dagster. Without `materialised` it is an observation."""

    asset: tuple[str, ...]
    metadata: Mapping[str, str | int | float | bool]
    materialised: bool = True
    checks: tuple[ReportedCheck, ...] = ()
