"""Searches for an earlier prefix of the input that gives one row in every column and rank."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.reconciliation.compare.bracket import value_differences
from gamestream_dagster.reconciliation.compare.findings import entity_of, fault_of, rank_of
from gamestream_dagster.reconciliation.model.values import Row, Sink
from gamestream_dagster.reconciliation.observe.board_topic import Key
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, rows_of
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.statements import statement

_GROWING = (ColumnRole.SUM, ColumnRole.COUNT, ColumnRole.DISTINCT)

SEARCH_SECONDS = 20.0
"""How long prefixes are tried for one board."""


@dataclass
class PrefixSearch:
    """Prefixes by Kafka's time: every partition up to one moment."""

    archive: ArchiveDatabase
    at: EventsAt
    board: Board
    job_boards: Sequence[Board]
    seconds: float = SEARCH_SECONDS
    _cuts: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])
    _spent: float = 0.0

    def gives(self, key: Key, row: Row, season: SeasonSpan | None = None) -> bool | None:
        """Whether some earlier prefix gives the row; None: not known, as the time was over or values grow and fall."""
        started = time.monotonic()
        try:
            return self._gives(replace(self.at, season=season), key, row, started + self.seconds - self._spent)
        finally:
            self._spent += time.monotonic() - started

    def _gives(self, at: EventsAt, key: Key, row: Row, deadline: float) -> bool | None:
        board = self.board
        if fault_of(board, row) is not None:
            return False
        if board.window is not None:
            as_of = row[board.window.as_of]
            if as_of % (board.window.tick_seconds * 1000):
                return False
            return row in board_rows(self.archive, at, board, rows=key[-1], as_of=as_of)
        history = history_between(self.archive, at.from_beginning(), self.job_boards)
        if value_differences(board, Sink.POSTGRES, row, history):
            return False
        if board.shrinks:  # values that also fall cannot be found by halving
            return None
        return self._at_some_time(at, row, deadline)

    def _at_some_time(self, at: EventsAt, row: Row, deadline: float) -> bool | None:
        """Sums only grow with time, and while a row keeps its own sums only others can move it: so halving finds it."""
        board = self.board
        names = [name for name, column in board.columns.items() if column.role in _GROWING]
        span = self._moments(at)
        if span is None:
            return False

        def has_grown(found: Row | None) -> bool:
            return found is not None and any(found[name] > row[name] for name in names)

        def reached(found: Row | None) -> bool:
            return found is not None and all(found[name] >= row[name] for name in names)

        begin = self._first(at, span, row, reached, deadline)
        end = self._first(at, span, row, has_grown, deadline)
        if begin is None or end is None:
            return None

        def moved_past(found: Row | None) -> bool:
            return found is not None and rank_of(board, found) >= rank_of(board, row)

        moved = self._first(at, (begin, end - 1), row, moved_past, deadline)
        if moved is None:
            return None
        return any(self._row(at, moment, row) == row for moment in dict.fromkeys((moved, begin, end - 1)))

    def _first(
        self, at: EventsAt, span: tuple[int, int], row: Row, holds: Callable[[Row | None], bool], deadline: float
    ) -> int | None:
        """The first moment from which on something holds; one past the end of the span if it never does."""
        low, high = span[0], span[1] + 1
        while low < high:
            if time.monotonic() > deadline:
                return None
            middle = (low + high) // 2
            if holds(self._row(at, middle, row)):
                high = middle
            else:
                low = middle + 1
        return low

    def _row(self, at: EventsAt, moment: int, row: Row) -> Row | None:
        cut = self._cuts.get(moment)
        if cut is None:
            found = self.archive.scan(at, statement("causes/cut_at"), moment=moment)
            cut = dict.fromkeys(at.cut, 0) | {one["partition"]: one["next_offset"] for one in found}
            self._cuts[moment] = cut
        entity = entity_of(self.board, row)
        return rows_of(self.archive, replace(at, cut=cut), self.board, [entity]).get(entity)

    def _moments(self, at: EventsAt) -> tuple[int, int] | None:
        found: dict[str, Any] = self.archive.scan(at, statement("causes/kafka_span"))[0]
        return None if found["first"] is None else (found["first"], found["last"])
