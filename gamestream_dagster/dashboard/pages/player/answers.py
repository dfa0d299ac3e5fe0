"""Why a score is what it is, and what became of an event: asked on demand, from the archive and Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gamestream_dagster.fates.model import Trace
from gamestream_dagster.settings import Settings

LINES: Final = 5


@dataclass(frozen=True)
class SumLine:
    """One sum of a row and some of its events."""

    column: str
    total: int
    events: int
    first: Sequence[dict[str, Any]]
    last: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Explained:
    """Why a player has the row of a board."""

    board: str
    sentence: str
    adds_up: bool
    shown: dict[str, Any] | None
    recomputed: dict[str, Any] | None
    sums: Sequence[SumLine]
    reasons: dict[str, int]
    """Records of the player that do not count, by reason."""


def explain(settings: Settings, board: str, player: str) -> Explained:
    """The events behind a row. Adds to the archive what is new, then recomputes: it takes seconds.

    Raises:
        GamestreamError: nothing is about the player, or the board, the archive or Kafka cannot be read.
    """
    # heavy to import, and most pages are never asked
    from gamestream_dagster.reconciliation.why.answer import Why
    from gamestream_dagster.reconciliation.why.explain_row import explain_row

    found: list[Explained] = []

    def use(why: Why) -> None:
        sums = []
        for one in why.sums:
            first, last = why.ends(one, LINES)
            sums.append(
                SumLine(one.column, one.total, one.events, [dict(row) for row in first], [dict(row) for row in last])
            )
        shown, recomputed = (dict(row) if row is not None else None for row in (why.shown, why.recomputed))
        found.append(Explained(why.board.title, why.sentence, why.adds_up, shown, recomputed, sums, why.reasons))

    explain_row(settings, board, f"player:{player}", use)
    return found[0]


def trace(settings: Settings, event_id: str) -> Trace:
    """What became of every record with an event id.

    Raises:
        GamestreamError: no event can have such an id, or the archive or Kafka cannot be read.
    """
    from gamestream_dagster.fates.trace import trace_event

    return trace_event(settings, event_id)
