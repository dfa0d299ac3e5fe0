"""What all stores have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from gamestream_dagster.privacy.player import Player

Say = Callable[[str], None]
Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Found:
    """What one place of a store holds of a player."""

    place: str
    """Such as a table or a topic; never a value of the player."""
    values: int
    """Rows, records or entries."""
    clean_at: int | None = None
    """Milliseconds since 1970 at which retention will have removed them; None: nothing removes them by itself."""
    why_left: str = ""
    """Of values that an erase leaves: why, and what to do. Empty: an erase removes them, or retention does."""


class Store(Protocol):
    """One store. Methods raise `GamestreamError` where a server does not answer; then nothing may be concluded."""

    @property
    def name(self) -> str:
        """Of the store, in reports."""
        ...

    def scan(self, player: Player) -> list[Found]:
        """The places that hold something of the player."""
        ...

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """The player's own values: a file name and its rows for each place that has some."""
        ...

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Remove the player; returns how many values were removed. Calling it again completes it."""
        ...
