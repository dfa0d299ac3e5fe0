"""Searches for an earlier prefix of the input that gives one row in every column and rank."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.compare.rows import entity_of, fault_of, rank_of, value_differences
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.values import Row, Sink
from gamestream_dagster.reconciliation.observe.board_topic import Key
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.recompute import Recompute
from gamestream_dagster.reconciliation.recompute.statements import statement

SEARCH_SECONDS = 20.0
"""How long prefixes are tried for one board."""


@dataclass
class PrefixSearch:
    """Prefixes by Kafka's time: every partition up to one moment."""

    recompute: Recompute
    board: Board
    job_boards: Sequence[Board]
    high: Cut
    seconds: float = SEARCH_SECONDS
    _cuts: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])
    _spent: float = 0.0

    def gives(self, key: Key, row: Row) -> bool | None:
        """Whether some earlier prefix gives the row; None: the time was over before that was known."""
        started = time.monotonic()
        try:
            return self._gives(key, row, started + self.seconds - self._spent)
        finally:
            self._spent += time.monotonic() - started

    def _gives(self, key: Key, row: Row, deadline: float) -> bool | None:
        board = self.board
        if fault_of(board, row) is not None:
            return False
        if board.window is not None:
            as_of = row[board.window.as_of]
            if as_of % (board.window.tick_seconds * 1000):
                return False
            return row in self.recompute.rows(board, self.high, rows=key[-1], as_of=as_of)
        history = history_between(self.recompute, dict.fromkeys(self.high, 0), self.high, self.job_boards)
        if value_differences(board, Sink.POSTGRES, row, history):
            return False
        return self._at_some_time(row, deadline)

    def _at_some_time(self, row: Row, deadline: float) -> bool | None:
        """Sums only grow with time, and while a row keeps its own sums only others can move it: so halving finds it."""
        board = self.board
        names = [name for name, column in board.columns.items() if column.role in (ColumnRole.SUM, ColumnRole.COUNT)]
        span = self._moments()
        if span is None:
            return False

        def has_grown(found: Row | None) -> bool:
            return found is not None and any(found[name] > row[name] for name in names)

        def reached(found: Row | None) -> bool:
            return found is not None and all(found[name] >= row[name] for name in names)

        begin = self._first(span, row, reached, deadline)
        end = self._first(span, row, has_grown, deadline)
        if begin is None or end is None:
            return None

        def moved_past(found: Row | None) -> bool:
            return found is not None and rank_of(board, found) >= rank_of(board, row)

        at = self._first((begin, end - 1), row, moved_past, deadline)
        if at is None:
            return None
        return any(self._row(moment, row) == row for moment in dict.fromkeys((at, begin, end - 1)))

    def _first(
        self, span: tuple[int, int], row: Row, holds: Callable[[Row | None], bool], deadline: float
    ) -> int | None:
        """The first moment from which on something holds; one past the end of the span if it never does."""
        low, high = span[0], span[1] + 1
        while low < high:
            if time.monotonic() > deadline:
                return None
            middle = (low + high) // 2
            if holds(self._row(middle, row)):
                high = middle
            else:
                low = middle + 1
        return low

    def _row(self, moment: int, row: Row) -> Row | None:
        cut = self._cuts.get(moment)
        if cut is None:
            found = self.recompute.query(self.high, self.high, statement("cut_at"), moment=moment)
            cut = dict.fromkeys(self.high, 0) | {one["partition"]: one["next_offset"] for one in found}
            self._cuts[moment] = cut
        entity = entity_of(self.board, row)
        return self.recompute.rows_of(self.board, cut, [entity]).get(entity)

    def _moments(self) -> tuple[int, int] | None:
        found: dict[str, Any] = self.recompute.query(self.high, self.high, statement("kafka_span"))[0]
        return None if found["first"] is None else (found["first"], found["last"])
