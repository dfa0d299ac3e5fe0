"""Puts the answer together from the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from gamestream_dagster.archive.reader import texts
from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket
from gamestream_dagster.reconciliation.compare.findings import entity_of, fault_of, rank_of
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.values import Entity, Row, Sink
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, rows_between, rows_of
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.statements import statement
from gamestream_dagster.reconciliation.why.answer import Lines, Standing, Sum, Why

_NEVER = 2**62
_tables = count()


class UnknownEntityError(BoardNotUsableError):
    """No record is about an entity of this name; names who is like it."""


@dataclass(frozen=True)
class Question:
    """One row of one board."""

    archive: ArchiveDatabase
    at: EventsAt
    """The bracket; of a board of seasons the events of one."""
    board: Board
    entity: Entity
    as_of: int | None

    def answer(self, shown: Sequence[Row], sink: Sink) -> Why:
        """Why the row is as it is.

        Args:
            shown: the board's rows.
            sink: where they were read.

        Raises:
            UnknownEntityError: no record is about the entity.
            CouldNotLookError: the board shows no window.
        """
        board = self.board
        self._check_window(shown)
        if not self._ask("known", board.entity, self.entity)[0]["records"]:
            raise UnknownEntityError(self._unknown())
        row = self._row(self.at)
        ranks: dict[int, Row] = {}
        place = 0 if row is None else rank_of(board, row)
        if board.ranked and place:
            around = rows_between(self.archive, self.at, board, (place - 1, place + 1), self.as_of)
            ranks = {rank_of(board, one): one for one in around}
        mine = next((one for one in shown if entity_of(board, one) == self.entity), None)
        whole = [one for one in shown if fault_of(board, one) is None]
        sums, tables = self._sums(row)
        excluded, reasons = self._excluded()
        standing, finding = self._standing(shown, sink, mine, row, sums)
        return Why(
            board=board,
            entity=self.entity,
            sink=sink,
            topic=self.archive.source.folder.name,
            shown=mine,
            recomputed=row,
            low=self.at.low,
            cut=self.at.cut,
            as_of=self.as_of,
            sums=sums,
            alone=self._alone(row),
            reasons=reasons,
            excluded=excluded,
            above=ranks.get(place - 1),
            below=ranks.get(place + 1),
            last=max(whole, key=lambda one: rank_of(board, one), default=None)
            if mine is None and board.ranked
            else None,
            standing=standing,
            finding=finding,
            listed=lambda one: tables[one.column],
        )

    def _check_window(self, shown: Sequence[Row]) -> None:
        board = self.board
        if board.window is None or self.as_of is not None:
            return
        if shown:
            raise CouldNotLookError(
                f"no row of {board.name} has a window that can be read ({board.window.as_of} is "
                f"{shown[0][board.window.as_of]})",
                f"`gamestream reconcile --board {board.name}` says why, `gamestream repair --yes` puts it right",
            )
        raise CouldNotLookError(f"{board.name} shows no window yet", "see `gamestream board`")

    def _row(self, at: EventsAt) -> Row | None:
        return rows_of(self.archive, at, self.board, [self.entity], self.as_of).get(self.entity)

    def _span(self) -> SeasonSpan | None:
        """The times of events that count, milliseconds, if the board has borders."""
        if self.board.window is None or self.as_of is None:
            return self.at.season
        return SeasonSpan(self.as_of - self.board.window.length_seconds * 1000, self.as_of)

    def _alone(self, row: Row | None) -> bool:
        """Whether the row of a window is the same without anything outside the window."""
        if self.board.window is None:
            return True
        return self._row(replace(self.at, season=self._span())) == row

    def _sums(self, row: Row | None) -> tuple[list[Sum], dict[str, Lines]]:
        """The row's sums and their lines; of a board with a window one sum, of the events in the window."""
        over = {name: column.over for name, column in self.board.columns.items() if column.role is ColumnRole.SUM}
        if self.board.window is not None or row is None or not over:
            over = {"score": self.board.entity}
        delay = _NEVER if self.board.window is None else self.archive.source.late_ms
        sums: list[Sum] = []
        tables: dict[str, Lines] = {}
        for column, names in over.items():
            source = row if row is not None else dict(zip(self.board.entity, self.entity, strict=True))
            key = {name: str(source[name]) for name in names}
            table, value = _fresh("why_lines"), tuple(key.values())
            tables[column] = self._make("lines", table, names, value, delay=delay)
            total = self._ask("total", names, value, **self._bounds())[0]
            late = self._read("late", table)[0]
            sums.append(
                Sum(column, key, total["total"], total["events"], total["in_flight"], late["events"], late["total"])
            )
        return sums, tables

    def _excluded(self) -> tuple[Lines, dict[str, int]]:
        table = _fresh("why_excluded")
        lines = self._make("excluded", table, self.board.entity, self.entity)
        return lines, {one["reason"]: one["records"] for one in self._read("reasons", table)}

    def _make(self, name: str, table: str, over: tuple[str, ...], key: Entity, **values: int) -> Lines:
        sql = statement(f"why/{name}", over=over, table=(table,))
        given = {"keys": texts(over, [key])}
        made = self.archive.query(self._bracket, sql, given, **values, **self._bounds())
        return Lines(made[0]["Count"], lambda first, last: self._read("page", table, first=first, last=last))

    def _read(self, name: str, table: str, **values: int) -> list[Row]:
        return self.archive.query(self._bracket, statement(f"why/{name}", table=(table,)), **values)

    @property
    def _bracket(self) -> EventsAt:
        """A window that is shown is over: nothing of it is in flight."""
        return self.at if self.board.window is None else replace(self.at, low=self.at.cut)

    def _bounds(self) -> dict[str, int]:
        span = self._span()
        if span is None:
            return {"from_time": -_NEVER, "to_time": _NEVER}
        return {"from_time": span.start, "to_time": span.end}

    def _ask(self, name: str, over: tuple[str, ...], key: Entity, **values: int) -> list[Row]:
        given = {"keys": texts(over, [key])}
        return self.archive.query(self._bracket, statement(f"why/{name}", over=over), given, **values)

    def _standing(
        self, shown: Sequence[Row], sink: Sink, mine: Row | None, row: Row | None, sums: Sequence[Sum]
    ) -> tuple[Standing, str]:
        board = self.board
        if mine is not None and mine == row:
            return Standing.AS_SHOWN, ""
        if mine is None and (row is None or rank_of(board, row) > board.rows):
            return Standing.NOT_ON_BOARD, ""
        fault = None if mine is None else fault_of(board, mine)
        if fault is not None:
            return Standing.UNLIKE, f"{fault[1]}: somebody wrote to the sink"
        if board.window is not None:
            late = sum(one.late_events for one in sums)
            return (
                Standing.UNLIKE,
                f"{late} of its events may have been late" if late else "none of its events was late",
            )
        low_rows = board_rows(self.archive, self.at.at_low(), board, rows=depth(board))
        history = history_between(self.archive, self.at, [board])
        about = [one for one in compare_bracket(board, sink, shown, low_rows, history) if one.entity == self.entity]
        return (Standing.UNLIKE, about[0].explanation) if about else (Standing.IN_FLIGHT, "")

    def _unknown(self) -> str:
        name = ",".join(self.entity)
        over = self.board.entity
        found = self.archive.query(self.at, statement("why/alike", over=over), wanted=name)
        alike = ", ".join(",".join(str(row[part]) for part in over) for row in found)
        near = f"; there are {alike}" if alike else ""
        return f"No record is about {name} ({', '.join(over)}){near}."


def _fresh(name: str) -> str:
    """A table of its own: the lines of an answer are read later, and another question may be asked before."""
    return f"{name}_{next(_tables)}"
