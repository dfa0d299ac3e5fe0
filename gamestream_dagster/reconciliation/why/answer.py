"""The answer to why a row is as it is: values, and lines that are read on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.errors import ReconciliationError
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.cut import shown as cut_shown
from gamestream_dagster.reconciliation.model.order import order_value
from gamestream_dagster.reconciliation.model.values import Entity, Row, Sink

_PAGE = 10_000


class LinesDoNotAddUpError(ReconciliationError):
    """The lines are not what they were said to add up to: a fault of this program."""


class Standing(StrEnum):
    """How the row shown stands to the events."""

    AS_SHOWN = "AS_SHOWN"  # the row is what all archived events give
    IN_FLIGHT = "IN_FLIGHT"  # it is what some cut in the bracket gives: newer events are still on their way
    UNLIKE = "UNLIKE"  # by this one look no cut in the bracket gives it
    NOT_ON_BOARD = "NOT_ON_BOARD"  # it has no row, and by the events it should have none


@dataclass(frozen=True)
class Sum:
    """One running sum of the row: the key that it is of, and what its events add up to."""

    column: str
    key: dict[str, str]
    total: int
    events: int
    in_flight: int
    """Events in the bracket: the job may not have counted them when the row was read."""
    late_events: int
    late_total: int
    """Events that came behind the watermark, so that their window may have been closed; 0 on a board without one."""


@dataclass(frozen=True)
class Lines:
    """A table of lines in the opened archive, which spills to disk: read a page at a time."""

    count: int
    read: Callable[[int, int], list[Row]] = field(repr=False)
    """Lines from the first to the last place, both of them too; the first place is 1."""

    def __iter__(self) -> Iterator[Row]:
        for start in range(1, self.count + 1, _PAGE):
            yield from self.read(start, min(start + _PAGE - 1, self.count))

    def ends(self, limit: int) -> tuple[list[Row], list[Row]]:
        """The first and the last lines; when there are few, all of them are first ones."""
        if self.count <= 2 * limit + 1:
            return self.read(1, self.count), []
        return self.read(1, limit), self.read(self.count - limit + 1, self.count)


@dataclass(frozen=True)
class Why:
    """The answer. Lines come on demand, so that a million of them take no memory."""

    board: Board
    entity: Entity
    sink: Sink
    topic: str
    shown: Row | None
    recomputed: Row | None
    low: Cut
    cut: Cut
    as_of: int | None
    sums: list[Sum]
    alone: bool
    """The events listed, and no others, give the recomputed row; tested where the board has a window."""
    reasons: dict[str, int]
    """Records that do not count, by reason."""
    excluded: Lines
    above: Row | None
    below: Row | None
    last: Row | None
    """The last row of the board, where the entity is not on it."""
    standing: Standing
    finding: str
    """In what way the row is `UNLIKE`."""
    listed: Callable[[Sum], Lines] = field(repr=False)

    @property
    def adds_up(self) -> bool:
        """Whether the recomputed row is what its events give."""
        row = self.recomputed or {}
        return self.alone and all(row.get(one.column, one.total) == one.total for one in self.sums)

    def lines(self, one: Sum) -> Iterator[Row]:
        """Every event of a sum.

        Raises:
            LinesDoNotAddUpError: at the end, if they are not what the sum says.
        """
        total = events = 0
        for line in self.listed(one):
            total, events = total + line["score"], events + 1
            yield line
        _check(one, events, total)

    def ends(self, one: Sum, limit: int) -> tuple[list[Row], list[Row]]:
        """The first and the last events of a sum (see `Lines.ends`).

        Raises:
            LinesDoNotAddUpError: the last one's running total is not what the sum says.
        """
        listed = self.listed(one)
        first, last = listed.ends(limit)
        _check(one, listed.count, (last or first or [{"total": 0}])[-1]["total"])
        return first, last

    def gap(self, other: Row) -> Fraction | None:
        """How far another row is ahead in what the board is ordered by first; None where that is no number."""
        column = self.board.order[0].column
        if self.recomputed is None or isinstance(other[column], str):
            return None
        return Fraction(order_value(self.board, column, other)) - Fraction(
            order_value(self.board, column, self.recomputed)
        )

    @property
    def sentence(self) -> str:
        """What is to be said in the end."""
        reconcile = f"gamestream reconcile --board {self.board.name}"
        match self.standing:
            case Standing.AS_SHOWN:
                return "The lines add up to the row shown."
            case Standing.NOT_ON_BOARD if not any(one.events for one in self.sums):
                return "It is not on the board: none of its records counts there."
            case Standing.NOT_ON_BOARD:
                return "It is not on the board, and by its events it should not be."
            case Standing.IN_FLIGHT:
                bracket = f"{self.topic} {cut_shown(self.low)} to {cut_shown(self.cut)}"
                return (
                    f"The row shown is one that the events of the bracket allow: {bracket}; newer ones are in flight."
                )
            case Standing.UNLIKE:
                return f"By this look the row shown is not what the events give: {self.finding}; {reconcile} says why."


def _check(one: Sum, events: int, total: int) -> None:
    if (events, total) != (one.events, one.total):
        raise LinesDoNotAddUpError(
            f"The lines of {one.column} are {events} and add up to {total}, not {one.events} and {one.total}; "
            "look again, and if it stays so, please report it."
        )
