"""The comparison of a board of seasons: each open season by itself, by the events of the season."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket
from gamestream_dagster.reconciliation.compare.clocks import time_passed
from gamestream_dagster.reconciliation.compare.findings import compared, row_difference
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.values import BoardResult, Difference, DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.observe.sinks import newest_window
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times
from gamestream_dagster.reconciliation.recompute.history import DuckHistory, history_between
from gamestream_dagster.settings import Settings

SEASON = "season"
"""In the evidence of a difference: start of the season that it is in, milliseconds."""


def compare_seasons(
    archive: ArchiveDatabase, at: EventsAt, board: Board, shown: Mapping[Sink, Sequence[Row]], settings: Settings
) -> list[BoardResult]:
    """Compare every open season: the newest one, those in the sink that may still take events, and the one of now.

    Args:
        archive: reaches the high cut.
        at: the bracket: `low` is what was surely in the sinks, `cut` the end of the input.
        board: a board of seasons.
        shown: by sink its rows, all seasons.
        settings: length and lateness of the seasons.
    """
    newest = newest_event_times(archive, at.at_low())
    seasons = _Seasons(archive, at, board)
    return [_compare_sink(seasons, sink, rows, newest, settings) for sink, rows in shown.items()]


def _compare_sink(
    seasons: _Seasons, sink: Sink, rows: Sequence[Row], newest: Mapping[int, int], settings: Settings
) -> BoardResult:
    board = seasons.board
    places, found = 0, list[Difference]()
    for span in open_spans(board, rows, newest, settings):
        shown = newest_window(board, rows, span.start)[1]
        low_rows, history = seasons.expected(span)
        told = [_told(one, span) for one in compare_bracket(board, sink, shown, low_rows, history)]
        places += compared(board, sink, shown, min(board.rows, len(low_rows)), told).rows_compared
        found += told
    strangers = [row for row in rows if _stranger(board, row, settings)]
    found += [_misplaced(board, sink, row) for row in strangers]
    return BoardResult(board.name, sink, places + len(strangers), tuple(found), newest_window(board, rows)[0])


@dataclass(frozen=True)
class _Seasons:
    """What the recompute gives for the seasons of a board; both sinks are held against the same."""

    archive: ArchiveDatabase
    at: EventsAt
    board: Board
    _known: dict[SeasonSpan, tuple[list[Row], DuckHistory]] = field(
        default_factory=dict[SeasonSpan, tuple[list[Row], DuckHistory]]
    )

    def expected(self, span: SeasonSpan) -> tuple[list[Row], DuckHistory]:
        """The rows at the low cut, deeper than the board, and what came in the bracket."""
        if span not in self._known:
            at = replace(self.at, season=span)
            rows = board_rows(self.archive, at.at_low(), self.board, rows=depth(self.board))
            self._known[span] = rows, history_between(self.archive, at, [self.board])
        return self._known[span]


def open_spans(board: Board, rows: Sequence[Row], newest: Mapping[int, int], settings: Settings) -> list[SeasonSpan]:
    """The seasons to compare, oldest first; `newest`: event time of each partition at the low cut, milliseconds."""
    column = board.season_column or ""
    shown = {row[column] for row in rows if not _stranger(board, row, settings)}
    spans = {season_at(settings.season, start) for start in shown}
    if newest:
        closed_before = time_passed(newest) - settings.season_lateness_seconds * 1000
        now = season_at(settings.season, max(newest.values()))
        last = max(spans, key=lambda span: span.start, default=now)
        spans = {span for span in spans if span.end >= closed_before or span == last} | {now}
    return sorted(spans, key=lambda span: span.start)


def _stranger(board: Board, row: Row, settings: Settings) -> bool:
    """A row of what is no season: a job that kept seasons of another length wrote it, or somebody by hand."""
    start = row.get(board.season_column or "")
    return not isinstance(start, int) or season_at(settings.season, start).start != start


def _told(difference: Difference, span: SeasonSpan) -> Difference:
    return replace(
        difference,
        explanation=f"season {span.label}: {difference.explanation}",
        evidence={**difference.evidence, SEASON: span.start},
    )


def _misplaced(board: Board, sink: Sink, row: Row) -> Difference:
    explanation = "no season begins then: seasons of another length were kept before, or somebody wrote the row"
    kind, column = DifferenceKind.EXTRA, board.season_column
    found = row_difference(board, sink, kind, explanation, row, column=column, streamed=row)
    return replace(found, evidence={"stands_in": str(row.get(column or ""))})
