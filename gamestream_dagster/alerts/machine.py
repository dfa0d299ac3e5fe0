"""The states of one alert, by its condition. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gamestream_dagster.alerts.store import Change

PAUSE_SECONDS: Final = 300.0
"""After a longer pause between two evaluations nobody knows whether the condition held: pending starts again."""


class AlertState(StrEnum):
    """Where an alert is."""

    OK = "ok"  # the condition does not hold
    PENDING = "pending"  # it holds, for less than `for`
    FIRING = "firing"  # it has held for as long as `for`
    RESOLVED = "resolved"  # it fired and no longer holds; until the condition holds again
    NO_DATA = "no data"  # it cannot be evaluated: no sample, or 0/0


@dataclass(frozen=True)
class Standing:
    """One alert of one label set. Times are epoch seconds."""

    state: AlertState = AlertState.OK
    since: float = 0.0
    """When it came into the state."""
    evaluated_at: float = 0.0
    pending_since: float | None = None
    fired_at: float | None = None
    """When it fired; None: no alert is open. With state NO_DATA it is still open."""
    told_blind: bool = False
    """Somebody was told that an open alert has no data; once for each alert."""

    @property
    def is_open(self) -> bool:
        """Whether it fired and is not over."""
        return self.fired_at is not None


def step(before: Standing, holds: bool | None, now: float, lasts: float) -> tuple[Standing, Change | None]:
    """The next state, and what changed.

    Args:
        before: the state after the last evaluation.
        holds: of the condition; None: no data.
        now: of the evaluation.
        lasts: `for`, seconds.
    """
    kept = replace(before, evaluated_at=now)
    if holds is None:
        return _without_data(kept, now)
    if not holds:
        return _over(kept, now)
    if before.is_open:
        return _to(kept, AlertState.FIRING, now), None
    unbroken = before.state is AlertState.PENDING and now - before.evaluated_at <= PAUSE_SECONDS
    since = before.pending_since if unbroken and before.pending_since is not None else now
    if now - since >= lasts:
        fired = replace(kept, pending_since=None, fired_at=now, told_blind=False)
        return _to(fired, AlertState.FIRING, now), Change.RAISED
    return _to(replace(kept, pending_since=since), AlertState.PENDING, now), None


def _without_data(kept: Standing, now: float) -> tuple[Standing, Change | None]:
    blind = _to(replace(kept, pending_since=None), AlertState.NO_DATA, now)
    if kept.is_open and not kept.told_blind:
        return replace(blind, told_blind=True), Change.BLIND
    return blind, None


def _over(kept: Standing, now: float) -> tuple[Standing, Change | None]:
    if kept.is_open:
        over = replace(kept, pending_since=None, fired_at=None, told_blind=False)
        return _to(over, AlertState.RESOLVED, now), Change.CLEARED
    state = AlertState.RESOLVED if kept.state is AlertState.RESOLVED else AlertState.OK
    return _to(replace(kept, pending_since=None), state, now), None


def _to(standing: Standing, state: AlertState, now: float) -> Standing:
    return standing if standing.state is state else replace(standing, state=state, since=now)
