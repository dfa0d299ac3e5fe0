"""The facts of a fault after injection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Struck:
    """An injected fault. Times are epoch seconds."""

    at: float
    since: float
    """A checkpoint that was triggered after this moment is a new one."""
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    """Violations that the fault itself found."""
    unreadable: frozenset[Path] = frozenset()
    """Checkpoints that it destroyed."""
    began: float | None = None
    """The savepoint that a job was stopped with is not older than this; None: than `at`."""
