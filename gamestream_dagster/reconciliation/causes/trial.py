"""Trying hypotheses: which rows come out right, and what is left of a board's differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.causes.hypothesis import Hypothesis, unwrapped
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket, value_differences
from gamestream_dagster.reconciliation.compare.equal import compare_equal, unlike
from gamestream_dagster.reconciliation.compare.findings import entity_of, place_of
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.values import Difference, DifferenceKind, Entity, Row, Sink
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, rows_of
from gamestream_dagster.reconciliation.recompute.events_at import Counterfactual, Entities, EventsAt
from gamestream_dagster.reconciliation.recompute.history import history_between

Place = tuple[Entity, int | None]
"""One row: who it is about, and at which rank; a faulty board may have somebody twice."""


@dataclass(frozen=True)
class Trial:
    """One board in one sink, and the events that it is tried against."""

    archive: ArchiveDatabase
    at: EventsAt
    """The bracket of the board."""
    board: Board
    job_boards: Sequence[Board]
    sink: Sink
    rows: Sequence[Row]
    as_of: int | None

    def differences(self, hypotheses: Mapping[Entity, Hypothesis] | None = None) -> list[Difference]:
        """All that is wrong with the board if the hypotheses hold; each is about one entity's events.

        Sums that wrapped are right in themselves but stand in an order of their own, so the order is not judged then.
        """
        at = self._under((hypotheses or {}).values())
        if self.board.window is not None:
            expected = board_rows(self.archive, at, self.board, as_of=self.as_of)
            return compare_equal(self.board, self.sink, self.rows, expected)
        low_rows = board_rows(self.archive, at.at_low(), self.board, rows=depth(self.board))
        history = history_between(self.archive, at, self.job_boards)
        return compare_bracket(self.board, self.sink, self.rows, low_rows, history)

    def right(self, hypotheses: Mapping[Place, Hypothesis]) -> set[Place]:
        """Which of some rows are right by themselves if the hypotheses hold, wherever they stand."""
        mine = {place: row for row in self.rows if self._whole(row) and (place := self.place(row)) in hypotheses}
        at = self._under(hypotheses[place] for place in mine)
        if self.board.window is not None:
            expected = rows_of(self.archive, at, self.board, [entity for entity, _ in mine], self.as_of)
            wrong = {place: unlike(self.board, self.sink, row, expected.get(place[0])) for place, row in mine.items()}
        else:
            history = history_between(self.archive, at, self.job_boards)
            wrong = {place: value_differences(self.board, self.sink, row, history) for place, row in mine.items()}
        return {place for place, found in wrong.items() if self._excused(found, hypotheses[place])}

    def about(self, entities: Sequence[Entity]) -> Self:
        """For `right` alone, of these entities: their own events are enough, unless a sum is over others' too."""
        own = set(self.board.entity)
        if not all(own <= set(column.over) for column in self.board.columns.values() if column.over):
            return self
        return replace(self, at=replace(self.at, entities=Entities(self.board.entity, tuple(entities))))

    def place(self, row: Row) -> Place:
        """Who stands where."""
        return entity_of(self.board, row), place_of(self.board, row)

    def _excused(self, found: Sequence[Difference], hypothesis: Hypothesis) -> bool:
        if not hypothesis.wrapped:
            return not found
        return bool(found) and all(self._wrapped(one) for one in found)

    def _wrapped(self, difference: Difference) -> bool:
        """Whether a sum is outside its range only because it wrapped at 32 bits."""
        column = self.board.columns.get(difference.column or "")
        if column is None or column.role is not ColumnRole.SUM or not isinstance(difference.recomputed, dict):
            return False
        allowed = cast("dict[str, int]", difference.recomputed)
        return unwrapped(difference.streamed, allowed["low"], allowed["high"]) is not None

    def _whole(self, row: Row) -> bool:
        return all(row.get(name) is not None for name in self.board.columns)

    def _under(self, hypotheses: Iterable[Hypothesis]) -> EventsAt:
        """The events if all of some hypotheses hold."""
        listed = list(hypotheses)
        removed = dict.fromkeys(event.position for one in listed for event in one.removed)
        added = dict.fromkeys(event.position for one in listed for event in one.added)
        return replace(self.at, hypothesis=Counterfactual(tuple(removed), tuple(added)))


def by_itself(difference: Difference) -> bool:
    """Whether the difference is in the row's own values, and not in where the row stands among others."""
    return difference.kind in (DifferenceKind.VALUE, DifferenceKind.EXTRA)


def same_place(difference: Difference) -> tuple[object, ...]:
    """What makes two differences of two comparisons one and the same."""
    return difference.kind, difference.rank, difference.entity, difference.column
