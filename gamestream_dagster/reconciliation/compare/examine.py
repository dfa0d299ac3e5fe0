"""One observation against the recompute: which rows of which board are outside what the input allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket
from gamestream_dagster.reconciliation.compare.findings import compared
from gamestream_dagster.reconciliation.compare.open_seasons import compare_seasons
from gamestream_dagster.reconciliation.compare.windows import compare_windows
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.values import BoardResult, DifferenceKind, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.history import DuckHistory, history_between
from gamestream_dagster.settings import Settings


def examine(
    archive: ArchiveDatabase,
    boards: Sequence[Board],
    sinks: Sequence[Sink],
    *,
    seen: Observation,
    since: Mapping[str, Cut],
    settings: Settings | None = None,
) -> list[BoardResult]:
    """Compare every board in every sink.

    Args:
        archive: reaches the observation's high cut.
        boards: which ones, in the order of the report.
        sinks: where they were read.
        seen: rows and cuts.
        since: by job, a low cut that is old enough for a window to have been shown.
        settings: of the stack, for boards of seasons.
    """
    histories: dict[str, DuckHistory] = {}
    results: list[BoardResult] = []
    for board in boards:
        at = archive.at(seen.high_of(board.job), seen.jobs[board.job].low)
        shown = {sink: seen.boards[board.name, sink] for sink in sinks}
        if board.window is not None:
            results += compare_windows(archive, at, board, shown, seen=seen, since=since[board.job])
        elif board.season_column is not None:
            if settings is None:
                raise BoardNotUsableError(f"{board.name} has seasons: their length is in the settings.")
            results += compare_seasons(archive, at, board, shown, settings)
        else:
            low = at.at_low()
            if board.retention is not None:  # older rows may be there or not
                low = replace(low, since=seen.at_millis - board.retention)
            low_rows = board_rows(archive, low, board, rows=depth(board))
            if board.job not in histories:  # what one board asked for, another need not scan for again
                same_job = [one for one in boards if one.job == board.job]
                histories[board.job] = history_between(archive, at, same_job)
            for sink, rows in shown.items():
                differences = compare_bracket(board, sink, rows, low_rows, histories[board.job])
                results.append(compared(board, sink, rows, min(board.rows, len(low_rows)), differences))
    return results


def still_there(
    first: Sequence[BoardResult], again: Sequence[BoardResult], boards: Mapping[str, Board]
) -> list[BoardResult]:
    """The differences of a later look that an earlier look showed too: the others were rows half written.

    Sinks write a change of several rows in more than one step, so a single look can catch a board in between. A wrong
    row stays. Rows of a board with a window are replaced at each tick, so there any difference counts as the same; but
    a board whose window is old and has moved since is late, not stuck.
    """
    before = {(one.board, one.sink): one for one in first}
    kept: list[BoardResult] = []
    for result in again:
        earlier = before[result.board, result.sink].differences
        entities = {(one.season, one.entity) for one in earlier if one.entity is not None}
        ranks = {(one.season, one.rank) for one in earlier if one.rank is not None}
        stuck_at = {difference.streamed for difference in earlier if difference.kind is DifferenceKind.STALE}
        windowed = boards[result.board].window is not None
        same = tuple(
            difference
            for difference in result.differences
            if (
                difference.streamed in stuck_at
                if difference.kind is DifferenceKind.STALE
                else (windowed and earlier)
                or (difference.season, difference.entity) in entities
                or (difference.season, difference.rank) in ranks
            )
        )
        kept.append(result.with_differences(same))
    return kept
