"""What a drill of the alerts found. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class AlertVerdict(StrEnum):
    """How one rule did."""

    HELD = "HELD"  # it fired, people were told once, the runbook's commands ran, and it resolved
    NOT_HELD = "NOT_HELD"
    NOT_TRIED = "NOT_TRIED"  # a drill cannot make it fire; says why
    COULD_NOT_RUN = "COULD_NOT_RUN"  # the condition could not be planted


@dataclass(frozen=True)
class Command:
    """A command of a runbook that was run while the alert was firing."""

    text: str
    exit_code: int
    last_words: str = ""

    @property
    def worked(self) -> bool:
        """1 is an answer too: something was found."""
        return self.exit_code in (0, 1)


@dataclass(frozen=True)
class Tried:
    """One rule in the drill."""

    rule: str
    planted: str
    alert_id: str = ""
    """The first one of the rule that fired."""
    fired_seconds: float | None = None
    resolved_seconds: float | None = None
    """Since the condition was lifted."""
    told: Mapping[str, tuple[int, int]] | None = None
    """Messages that it fires and that it is over, by route."""
    commands: tuple[Command, ...] = ()
    not_tried: str = ""
    could_not: str = ""

    @property
    def wrong(self) -> tuple[str, ...]:
        """What did not hold; empty when all did."""
        if self.not_tried or self.could_not:
            return ()
        if self.fired_seconds is None:
            return ("it did not fire",)
        found = [
            f"`{one.text}` exits with {one.exit_code}: {one.last_words}" for one in self.commands if not one.worked
        ]
        if self.resolved_seconds is None:
            return ("it did not resolve", *found)
        for route, (firing, over) in (self.told or {}).items():
            if (firing, over) != (1, 1):
                found.append(
                    f"the route {route} was told {firing} times that it fires and {over} times that it is over"
                )
        return tuple(found)

    @property
    def verdict(self) -> AlertVerdict:
        """The whole of it."""
        if self.not_tried:
            return AlertVerdict.NOT_TRIED
        if self.could_not:
            return AlertVerdict.COULD_NOT_RUN
        return AlertVerdict.NOT_HELD if self.wrong else AlertVerdict.HELD

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "verdict": self.verdict.value, "wrong": list(self.wrong)}
