"""The comparison of a board whose rows belong to a window: equality on the newest one, which changes no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.compare.clocks import clock_difference, watermark_of
from gamestream_dagster.reconciliation.compare.equal import compare_equal
from gamestream_dagster.reconciliation.compare.findings import board_difference, compared, place_of, row_difference
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.values import BoardResult, Difference, DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.observe.sinks import newest_window
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times


def compare_windows(
    archive: ArchiveDatabase,
    at: EventsAt,
    board: Board,
    shown: Mapping[Sink, Sequence[Row]],
    *,
    seen: Observation,
    since: Cut,
) -> list[BoardResult]:
    """Compare a board that has a window in every sink.

    Args:
        archive: reaches the high cut.
        at: the events before the high cut.
        board: description.
        shown: its rows by sink.
        seen: tells the partitions, and when the boards were read.
        since: a low cut that is old enough for the windows of its events to have been shown.
    """
    watermark = watermark_of(board, newest_event_times(archive, archive.at(since)), seen)
    windows = _Windows(
        archive,
        at,
        board,
        newest=max(newest_event_times(archive, at).values(), default=-1),
        implied=_implied_window(archive, at, board, watermark),
    )
    results: list[BoardResult] = []
    for sink, rows in shown.items():
        ahead = clock_difference(board, sink, watermark, seen)
        results.append(windows.compare(sink, rows, [] if ahead is None else [ahead]))
    return results


@dataclass(frozen=True)
class _Windows:
    archive: ArchiveDatabase
    at: EventsAt
    board: Board
    newest: int
    """Newest event time, milliseconds; -1: there is none."""
    implied: int | None
    """The window that must be shown, or a later one."""

    def compare(self, sink: Sink, shown: Sequence[Row], alarms: Sequence[Difference]) -> BoardResult:
        board = self.board
        strangers = self._of_no_window(shown)
        as_of, rows = newest_window(board, [row for row in shown if id(row) not in {id(one) for one in strangers}])
        expected = [] if as_of is None else board_rows(self.archive, self.at, board, as_of=as_of)
        differences = [] if as_of is None and not rows else compare_equal(board, sink, rows, expected)
        taken = {rank for row in strangers if (rank := place_of(board, row)) is not None}
        # What the stranger stands on is one row that differs, and not one more that is missing.
        differences = [one for one in differences if one.kind is not DifferenceKind.MISSING or one.rank not in taken]
        differences += [_no_window(board, sink, row) for row in strangers]
        differences += alarms
        if self.implied is not None and (as_of is None or as_of < self.implied):
            differences.append(_stale(board, sink, as_of, self.implied))
        return compared(board, sink, [*rows, *strangers], len(expected), differences, as_of=as_of)

    def _of_no_window(self, rows: Sequence[Row]) -> list[Row]:
        """Rows whose window cannot have ended: no tick of the board, or later than every event."""
        window = self.board.window
        if window is None:
            return []
        shown = {row[window.as_of] for row in rows if isinstance(row[window.as_of], int)}
        never = {as_of for as_of in shown if as_of % (window.tick_seconds * 1000) or self._never_began(as_of)}
        return [row for row in rows if row[window.as_of] in never]

    def _never_began(self, as_of: int) -> bool:
        # Refused events move the watermark too, so a window after the newest event may be one, unless it is empty.
        return as_of > self.newest and not board_rows(self.archive, self.at, self.board, rows=1, as_of=as_of)


def _no_window(board: Board, sink: Sink, row: Row) -> Difference:
    column = board.window.as_of if board.window else None
    shown = row.get(column or "")
    explanation = f"no window ends at {column} {row.get(column or '')}"
    return row_difference(board, sink, DifferenceKind.VALUE, explanation, row, column=column, streamed=shown)


def _implied_window(archive: ArchiveDatabase, at: EventsAt, board: Board, watermark: int | None) -> int | None:
    """The window (milliseconds) that must be shown, or a later one, by the watermark; None: none is implied.

    One tick is allowed for: the watermark is told five times a second, not with every event.
    """
    if board.window is None or watermark is None:
        return None
    tick = board.window.tick_seconds * 1000
    implied = watermark // tick * tick - tick
    # Where nobody had a row in that window, nothing was written.
    return implied if implied > 0 and board_rows(archive, at, board, rows=1, as_of=implied) else None


def _stale(board: Board, sink: Sink, as_of: int | None, implied: int) -> Difference:
    behind = "shows no window" if as_of is None else f"stands {(implied - as_of) / 1000:.0f} s of event time behind"
    explanation = f"the board {behind}, though the job has read the events of a later window"
    column = board.window.as_of if board.window else None
    return board_difference(
        board, sink, DifferenceKind.STALE, explanation, column=column, streamed=as_of, recomputed=implied
    )
