"""The comparison of a board of seasons: each open season by itself, by the events of the season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.reconciliation.compare.clocks import time_passed
from gamestream_dagster.reconciliation.compare.rows import compare_bracket, compared, entity_of, place_of
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.values import BoardResult, Difference, DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.observe.sinks import newest_window
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.recompute import Recompute
from gamestream_dagster.settings import Settings

SEASON = "season"
"""In the evidence of a difference: start of the season that it is in, milliseconds."""


def compare_seasons(
    recompute: Recompute, board: Board, sink: Sink, rows: Sequence[Row], *, low: Cut, high: Cut, settings: Settings
) -> BoardResult:
    """Compare every open season: the newest one, those in the sink that may still take events, and the one of now.

    Args:
        recompute: over an archive that reaches the high cut.
        board: a board of seasons.
        sink: where `rows` come from, all seasons.
        rows: as the sink holds them.
        low: what was surely in the sink.
        high: the end of the input.
        settings: length and lateness of the seasons.
    """
    places, found = 0, list[Difference]()
    for span in open_spans(recompute, board, rows, low, settings):
        shown = newest_window(board, rows, span.start)[1]
        with recompute.during(span):
            low_rows = recompute.rows(board, low, rows=depth(board))
            history = history_between(recompute, low, high, [board])
            differences = compare_bracket(board, sink, shown, low_rows, history)
        told = [_told(one, span) for one in differences]
        places += compared(board, sink, shown, min(board.rows, len(low_rows)), told).rows_compared
        found += told
    strangers = [row for row in rows if _stranger(board, row, settings)]
    found += [_misplaced(board, sink, row) for row in strangers]
    return BoardResult(board.name, sink, places + len(strangers), tuple(found), newest_window(board, rows)[0])


def open_spans(
    recompute: Recompute, board: Board, rows: Sequence[Row], low: Cut, settings: Settings
) -> list[SeasonSpan]:
    """The seasons to compare, oldest first."""
    column = board.season_column or ""
    shown = {row[column] for row in rows if not _stranger(board, row, settings)}
    newest = recompute.newest_event_times(low)
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
    return Difference(
        board=board.name,
        sink=sink,
        kind=DifferenceKind.EXTRA,
        rank=place_of(board, row),
        entity=entity_of(board, row),
        column=board.season_column,
        streamed=row,
        recomputed=None,
        explanation="no season begins then: seasons of another length were kept before, or somebody wrote the row",
        evidence={"stands_in": str(row.get(board.season_column or ""))},
    )
