"""Results of an alert drill. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

ANSWERED: Final = (0, 1)
"""Exit codes of a command that answered; 1: it found something."""
COULD_NOT_RUN: Final = 2


class AlertVerdict(StrEnum):
    """Result of one rule."""

    HELD = "HELD"  # it fired, each route got one message, the runbook's commands answered, it resolved
    NOT_HELD = "NOT_HELD"  # one of these did not happen
    COULD_NOT_RUN = "COULD_NOT_RUN"  # the condition could not be planted or lifted


@dataclass(frozen=True)
class Command:
    """A command of a runbook, run while its alert was firing."""

    text: str
    exit_code: int
    last_line: str = ""
    seconds: float = 0.0
    excused: bool = False
    """The planted condition prevents it, so exit code 2 with a reason is the right answer."""

    @property
    def answered(self) -> bool:
        """Whether it did what it can do under the condition."""
        return self.exit_code in ANSWERED or (self.excused and self.exit_code == COULD_NOT_RUN)


@dataclass(frozen=True)
class Tried:
    """One rule in the drill. Times are seconds."""

    rule: str
    planted: str
    alert_id: str = ""
    """The first alert of the rule that fired."""
    fired_seconds: float | None = None
    """Since the condition was planted."""
    resolved_seconds: float | None = None
    """Since the condition was lifted."""
    told: Mapping[str, tuple[int, int]] | None = None
    """By route: FIRING and RESOLVED messages that reached the inbox."""
    commands: tuple[Command, ...] = ()
    could_not: str = ""

    @property
    def faults(self) -> tuple[str, ...]:
        """What did not happen; empty when all did."""
        if self.could_not:
            return ()
        if self.fired_seconds is None:
            return ("it did not fire",)
        found = [
            f"`{one.text}` exits with {one.exit_code}: {one.last_line}" for one in self.commands if not one.answered
        ]
        if self.resolved_seconds is None:
            return ("it did not resolve", *found)
        for route, (firing, over) in (self.told or {}).items():
            if (firing, over) != (1, 1):
                found.append(f"route {route} got {firing} FIRING and {over} RESOLVED messages, not one of each")
        return tuple(found)

    @property
    def verdict(self) -> AlertVerdict:
        """The result as one word."""
        if self.could_not:
            return AlertVerdict.COULD_NOT_RUN
        return AlertVerdict.NOT_HELD if self.faults else AlertVerdict.HELD

    @property
    def why(self) -> str:
        """What is wrong, in one line; empty for HELD."""
        return self.could_not or "; ".join(self.faults)

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "verdict": self.verdict.value, "faults": list(self.faults)}
