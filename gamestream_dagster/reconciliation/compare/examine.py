"""One observation against the recompute: which rows of which board are outside what the input allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.compare.clocks import clock_difference, watermark_of
from gamestream_dagster.reconciliation.compare.open_seasons import compare_seasons
from gamestream_dagster.reconciliation.compare.rows import compare_bracket, compare_equal, compared, entity_of, place_of
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.values import BoardResult, Difference, DifferenceKind, Row, Sink, SinkRow
from gamestream_dagster.reconciliation.observe.boards import Observation
from gamestream_dagster.reconciliation.observe.sinks import newest_window
from gamestream_dagster.reconciliation.recompute.history import DuckHistory, history_between
from gamestream_dagster.reconciliation.recompute.recompute import Cut, Recompute
from gamestream_dagster.settings import Settings


def examine(
    recompute: Recompute,
    boards: Sequence[Board],
    sinks: Sequence[Sink],
    *,
    seen: Observation,
    since: Mapping[str, Cut],
    settings: Settings | None = None,
) -> list[BoardResult]:
    """Compare every board in every sink.

    Args:
        recompute: over an archive that reaches the observation's high cut.
        boards: which ones, in the order of the report.
        sinks: where they were read.
        seen: rows and cuts.
        since: by job, a low cut that is old enough for a window to have been shown (see `_stale`).
        settings: of the stack, for boards of seasons.
    """
    histories: dict[str, DuckHistory] = {}
    results: list[BoardResult] = []
    for board in boards:
        low, high = seen.jobs[board.job].low, seen.high_of(board.job)
        if board.window is not None:
            results += [_windowed(recompute, board, sink, seen, since[board.job]) for sink in sinks]
        elif board.season_column is not None:
            if settings is None:
                raise BoardNotUsableError(f"{board.name} has seasons: their length is in the settings.")
            found = [(sink, seen.boards[board.name, sink]) for sink in sinks]
            results += [
                compare_seasons(recompute, board, sink, rows, low=low, high=high, settings=settings)
                for sink, rows in found
            ]
        else:
            low_rows = recompute.rows(board, low, rows=depth(board))
            if board.job not in histories:  # what one board asked for, another need not scan for again
                same_job = [one for one in boards if one.job == board.job]
                histories[board.job] = history_between(recompute, low, high, same_job)
            for sink in sinks:
                rows = seen.boards[board.name, sink]
                differences = compare_bracket(board, sink, rows, low_rows, histories[board.job])
                results.append(compared(board, sink, rows, min(board.rows, len(low_rows)), differences))
    return results


def _windowed(recompute: Recompute, board: Board, sink: Sink, seen: Observation, since: Cut) -> BoardResult:
    """A board whose rows belong to a window: equality on the newest one, for what it holds does not change any more."""
    shown = seen.boards[board.name, sink]
    strangers = _of_no_window(recompute, board, shown, seen)
    as_of, rows = newest_window(board, [row for row in shown if id(row) not in {id(one) for one in strangers}])
    expected: list[Row] = []
    if as_of is not None:
        expected = recompute.rows(board, seen.high_of(board.job), as_of=as_of)
    differences = [] if as_of is None and not rows else compare_equal(board, sink, rows, expected)
    taken = {rank for row in strangers if (rank := place_of(board, row)) is not None}
    # What the stranger stands on is one row that differs, and not one more that is missing.
    differences = [one for one in differences if one.kind is not DifferenceKind.MISSING or one.rank not in taken]
    differences += [_no_window(board, sink, row) for row in strangers]
    ahead = clock_difference(recompute, board, sink, since, seen)
    if ahead is not None:
        differences.append(ahead)
    implied = _implied_window(recompute, board, seen, since)
    if implied is not None and (as_of is None or as_of < implied):
        differences.append(_stale(board, sink, as_of, implied))
    return compared(board, sink, [*rows, *strangers], len(expected), differences, as_of=as_of)


def _of_no_window(recompute: Recompute, board: Board, rows: Sequence[Row], seen: Observation) -> list[Row]:
    """Rows whose window cannot have ended: no tick of the board, or later than every event."""
    if board.window is None or not rows:
        return []
    tick, high = board.window.tick_seconds * 1000, seen.high_of(board.job)
    newest = max(recompute.newest_event_times(high).values(), default=-1)
    shown = {row[board.window.as_of] for row in rows if isinstance(row[board.window.as_of], int)}
    # Refused events move the watermark too, so a window after the newest event may be one, unless it is empty.
    never = {at for at in shown if at % tick or (at > newest and not recompute.rows(board, high, rows=1, as_of=at))}
    return [row for row in rows if row[board.window.as_of] in never]


def _no_window(board: Board, sink: Sink, row: Row) -> Difference:
    record = row.record if isinstance(row, SinkRow) else None
    column = board.window.as_of if board.window else None
    return Difference(
        board=board.name,
        sink=sink,
        kind=DifferenceKind.VALUE,
        rank=place_of(board, row),
        entity=entity_of(board, row),
        column=column,
        streamed=row.get(column or ""),
        recomputed=None,
        explanation=f"no window ends at {column} {row.get(column or '')}",
        evidence={} if record is None else {"record": record},
    )


def _implied_window(recompute: Recompute, board: Board, seen: Observation, since: Cut) -> int | None:
    """The window (milliseconds) that must be shown, or a later one, by the input up to `since`; None: none is implied.

    One tick is allowed for: the watermark is told five times a second, not with every event. A partition without any
    accepted event holds the watermark back, so then nothing is implied.
    """
    watermark = watermark_of(recompute, board, since, seen)
    if board.window is None or watermark is None:
        return None
    tick = board.window.tick_seconds * 1000
    implied = watermark // tick * tick - tick
    # Where nobody had a row in that window, nothing was written.
    return implied if implied > 0 and recompute.rows(board, seen.high_of(board.job), rows=1, as_of=implied) else None


def _stale(board: Board, sink: Sink, as_of: int | None, implied: int) -> Difference:
    behind = "shows no window" if as_of is None else f"stands {(implied - as_of) / 1000:.0f} s of event time behind"
    return Difference(
        board=board.name,
        sink=sink,
        kind=DifferenceKind.STALE,
        rank=None,
        entity=None,
        column=board.window.as_of if board.window else None,
        streamed=as_of,
        recomputed=implied,
        explanation=f"the board {behind}, though the job has read the events of a later window",
    )


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
