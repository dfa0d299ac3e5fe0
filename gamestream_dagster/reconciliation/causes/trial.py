"""Trying hypotheses: which rows come out right, and what is left of a board's differences."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.causes.hypothesis import Hypothesis, unwrapped
from gamestream_dagster.reconciliation.compare.rows import (
    compare_bracket,
    compare_equal,
    entity_of,
    place_of,
    unlike,
    value_differences,
)
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.input_history import DEPTH
from gamestream_dagster.reconciliation.model.values import Difference, DifferenceKind, Entity, Row, Sink
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.recompute import Recompute

Place = tuple[Entity, int | None]
"""One row: who it is about, and at which rank; a faulty board may have somebody twice."""


@dataclass(frozen=True)
class Trial:
    """One board in one sink, and the recompute that it is tried against."""

    recompute: Recompute
    board: Board
    job_boards: Sequence[Board]
    sink: Sink
    rows: Sequence[Row]
    low: Cut
    high: Cut
    as_of: int | None

    def differences(self, hypotheses: Mapping[Entity, Hypothesis] | None = None) -> list[Difference]:
        """All that is wrong with the board if the hypotheses hold; each is about one entity's events.

        Sums that wrapped are right in themselves but stand in an order of their own, so the order is not judged then.
        """
        with self._supposing(hypotheses or {}):
            if self.board.window is not None:
                expected = self.recompute.rows(self.board, self.high, as_of=self.as_of)
                return compare_equal(self.board, self.sink, self.rows, expected)
            low_rows = self.recompute.rows(self.board, self.low, rows=DEPTH * self.board.rows)
            history = history_between(self.recompute, self.low, self.high, self.job_boards)
            return compare_bracket(self.board, self.sink, self.rows, low_rows, history)

    def right(self, hypotheses: Mapping[Place, Hypothesis]) -> set[Place]:
        """Which of some rows are right by themselves if the hypotheses hold, wherever they stand."""
        mine = {place: row for row in self.rows if self._whole(row) and (place := self.place(row)) in hypotheses}
        with self._supposing({entity: hypotheses[entity, rank] for entity, rank in mine}):
            if self.board.window is not None:
                entities = [entity for entity, _ in mine]
                expected = self.recompute.rows_of(self.board, self.high, entities, self.as_of)
                wrong = {
                    place: unlike(self.board, self.sink, row, expected.get(place[0])) for place, row in mine.items()
                }
            else:
                history = history_between(self.recompute, self.low, self.high, self.job_boards)
                wrong = {place: value_differences(self.board, self.sink, row, history) for place, row in mine.items()}
        return {place for place, found in wrong.items() if self._excused(found, hypotheses[place])}

    @contextmanager
    def about(self, entities: Sequence[Entity]) -> Generator[None]:
        """Only `right` is asked, of these entities: their own events are enough, unless a sum is over others' too."""
        own = set(self.board.entity)
        with ExitStack() as closing:
            if all(own <= set(column.over) for column in self.board.columns.values() if column.over):
                closing.enter_context(self.recompute.about(self.board.entity, entities))
            yield

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

    @contextmanager
    def _supposing(self, hypotheses: Mapping[Entity, Hypothesis]) -> Generator[None]:
        removed = [event.position for one in hypotheses.values() for event in one.removed]
        added = [event.position for one in hypotheses.values() for event in one.added]
        with self.recompute.supposing(removed=list(dict.fromkeys(removed)), added=list(dict.fromkeys(added))):
            yield


def by_itself(difference: Difference) -> bool:
    """Whether the difference is in the row's own values, and not in where the row stands among others."""
    return difference.kind in (DifferenceKind.VALUE, DifferenceKind.EXTRA)


def same_place(difference: Difference) -> tuple[object, ...]:
    """What makes two differences of two comparisons one and the same."""
    return difference.kind, difference.rank, difference.entity, difference.column
