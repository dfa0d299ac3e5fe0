"""What a fault says about itself once it has happened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Struck:
    """A fault that has happened. Times are epoch seconds."""

    at: float
    since: float
    """A checkpoint that was triggered after this moment is a new one."""
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    """What the fault itself found not to hold."""
    unreadable: frozenset[Path] = frozenset()
    """Checkpoints that it made useless."""
