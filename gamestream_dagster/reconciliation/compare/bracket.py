"""Streamed rows, read somewhere between two cuts, against everything that the input allows there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from gamestream_dagster.catalogue.boards import Board, Column, ColumnRole
from gamestream_dagster.reconciliation.compare.findings import (
    Findings,
    check_shown_ratio,
    entity_of,
    place_of,
    rank_of,
    whole_rows,
)
from gamestream_dagster.reconciliation.model.input_history import Best, History
from gamestream_dagster.reconciliation.model.order import beats, in_order
from gamestream_dagster.reconciliation.model.ranges import (
    LabelRange,
    StandingRange,
    SumRange,
    TimeRange,
    Watermarks,
)
from gamestream_dagster.reconciliation.model.values import Difference, DifferenceKind, Entity, Row, Sink

MINUTE_MS = 60_000


def value_differences(board: Board, sink: Sink, row: Row, history: History) -> list[Difference]:
    """What is wrong with one row by itself: a stranger, or values that no cut in the bracket gives."""
    findings = Findings(board, sink)
    _check_values(findings, _without_strangers(findings, whole_rows(findings, [row]), history), history)
    return findings.found


def compare_bracket(
    board: Board, sink: Sink, streamed: Sequence[Row], low_rows: Sequence[Row], history: History
) -> list[Difference]:
    """Rows read at an unknown moment between two cuts against everything that the input allows there.

    Args:
        board: description, without a window.
        sink: where the rows come from.
        streamed: rows as the sink holds them.
        low_rows: rows of the recompute at the low cut, a few more than the board has ranks.
        history: what the archive says about the events between the cuts.
    """
    findings = Findings(board, sink)
    rows = whole_rows(findings, streamed)
    rows.sort(key=lambda row: rank_of(board, row))
    rows = _without_strangers(findings, rows, history)
    _check_values(findings, rows, history)
    if not board.ranked:
        _check_keys(findings, streamed, _lasting(board, low_rows, history))
        return findings.sorted()
    wrong = {difference.rank for difference in findings.found}
    right = [row for row in rows if rank_of(board, row) not in wrong]
    _check_order(findings, right)
    _check_membership(findings, streamed, right[-1] if right else None, low_rows, history)
    return findings.sorted()


def _without_strangers(findings: Findings, rows: Sequence[Row], history: History) -> list[Row]:
    """The rows whose entity can be on the board, each once."""
    board = findings.board
    entities = list(dict.fromkeys(entity_of(board, row) for row in rows))
    known = history.sums(board.entity, entities)
    # such an output never shrinks: who has no row at the high cut had none before
    shown = history.shown(board, entities) if board.filtered else known.keys()
    seen: dict[Entity, int] = {}
    kept: list[Row] = []
    for row in rows:
        entity, rank = entity_of(board, row), rank_of(board, row)
        if board.ranked and not 1 <= rank <= board.rows:
            findings.add(DifferenceKind.EXTRA, f"the board has the ranks 1 to {board.rows}", row, streamed=row)
        elif entity in seen:
            findings.add(
                DifferenceKind.EXTRA, f"stands on the board twice, at rank {seen[entity]} too", row, streamed=row
            )
        elif entity not in known:
            findings.add(DifferenceKind.EXTRA, "no accepted event is about it", row, streamed=row)
        elif entity not in shown:
            findings.add(DifferenceKind.EXTRA, "its events make no row of the output", row, streamed=row)
        else:
            seen[entity] = rank
            kept.append(row)
    return kept


def _check_values(findings: Findings, rows: Sequence[Row], history: History) -> None:
    board = findings.board
    entities = [entity_of(board, row) for row in rows]
    for name, column in board.columns.items():
        match column.role:
            case ColumnRole.SUM | ColumnRole.COUNT | ColumnRole.DISTINCT:
                keys = [tuple(str(row[part]) for part in column.over) for row in rows]
                ranges = _numbers(history, column, list(dict.fromkeys(keys)))
                for row, key in zip(rows, keys, strict=True):
                    _check_sum(findings, row, name, ranges.get(key))
            case ColumnRole.LABEL:
                labels = history.labels(board.entity, name, entities)
                for row, entity in zip(rows, entities, strict=True):
                    _check_label(findings, row, name, labels[entity])
            case ColumnRole.CHOICE:
                best = history.best(board.entity, name, entities)
                for row, entity in zip(rows, entities, strict=True):
                    _check_choice(findings, row, name, column, best.get(entity))
            case ColumnRole.RATIO:
                for row in rows:
                    check_shown_ratio(findings, name, column, row)
            case ColumnRole.FINAL:
                _check_final(findings, rows, name, history.watermarks())
            case _:
                _check_within(findings, rows, name, _times(board, name, entities, history))


def _numbers(history: History, column: Column, keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
    """What a running number of each key can be between the cuts."""
    match column.role:
        case ColumnRole.SUM:
            return history.sums(column.over, keys)
        case ColumnRole.COUNT:
            return history.counts(column.over, keys)
        case _:
            return history.distinct(column.over, column.of or "", keys)


def _check_sum(findings: Findings, row: Row, name: str, allowed: SumRange | None) -> None:
    value = row[name]
    if allowed is None:
        findings.add(
            DifferenceKind.VALUE,
            f"{name} is {value!r}, but no event gives it a score",
            row,
            column=name,
            streamed=value,
        )
    elif not isinstance(value, int) or not allowed.allows(value):
        findings.add(
            DifferenceKind.VALUE,
            f"{name} is {value!r}; between the two cuts it can only be {allowed.describe()}",
            row,
            column=name,
            streamed=value,
            recomputed={"low": allowed.low, "high": allowed.high},
        )


def _times(
    board: Board, name: str, entities: Sequence[Entity], history: History
) -> Mapping[Entity, TimeRange | StandingRange] | None:
    """What a time of a row's events, or the number of subjects in it, can be; None: the column is neither."""
    column = board.columns[name]
    match column.role:
        case ColumnRole.NEWEST:
            return history.newest(board.entity, entities)
        case ColumnRole.FIRST:
            return history.firsts(board.entity, entities)
        case ColumnRole.LAST:
            return history.lasts(board.entity, entities)
        case ColumnRole.STANDING:
            return history.standing(board.entity, column.over, entities)
        case _:
            return None


def _check_within(
    findings: Findings, rows: Sequence[Row], name: str, ranges: Mapping[Entity, TimeRange | StandingRange] | None
) -> None:
    for row in rows if ranges is not None else ():
        value, allowed = row[name], (ranges or {}).get(entity_of(findings.board, row))
        if allowed is not None and allowed.allows(value):
            continue
        recomputed = None if allowed is None else {"low": allowed.low, "high": allowed.high}
        findings.add(
            DifferenceKind.VALUE,
            f"{name} is {value!r}; the events of the row between the two cuts give {recomputed}",
            row,
            column=name,
            streamed=value,
            recomputed=recomputed,
        )


def _check_final(findings: Findings, rows: Sequence[Row], name: str, watermarks: Watermarks) -> None:
    """See that rows are final only when the watermark can have passed their end, and then are soon."""
    column = findings.board.columns[name]
    what = "minute" if column.after is None else f"{column.after // MINUTE_MS} minutes from {column.of} on"
    for row in rows:
        closes = int(row[column.of or ""]) + (column.after or MINUTE_MS) - 1
        if row[name] and not watermarks.may_have_passed(closes):
            told = f"the watermark has not passed the {what}: more events can come"
        elif not row[name] and watermarks.has_surely_passed(closes):
            told = f"the watermark has passed the {what}"
        else:
            continue
        findings.add(
            DifferenceKind.VALUE,
            f"{name} is {row[name]}, but {told}",
            row,
            column=name,
            streamed=row[name],
            recomputed=not row[name],
        )


def _check_label(findings: Findings, row: Row, name: str, allowed: LabelRange) -> None:
    if allowed.allows(row[name]):
        return
    findings.add(
        DifferenceKind.VALUE,
        f"{name} is {row[name]!r}; between the two cuts it can only be {allowed.describe()}",
        row,
        column=name,
        streamed=row[name],
        recomputed={"low": allowed.low, "later": sorted(allowed.later)[:20]},
    )


def _check_choice(findings: Findings, row: Row, name: str, column: Column, best: Best | None) -> None:
    """The chosen member's own total must reach what another member had at the low cut already."""
    if best is None or column.of is None or row[name] == best.member:
        return
    value, member = row[column.of], str(row[name])
    if isinstance(value, int) and (-value, member.encode()) < (-best.value, best.member.encode()):
        return
    findings.add(
        DifferenceKind.VALUE,
        f"{name} is {member!r} with {value!r}, but {best.member!r} had {best.value} before the low cut",
        row,
        column=name,
        streamed=member,
        recomputed={"member": best.member, "value": best.value},
    )


def _check_order(findings: Findings, rows: Sequence[Row]) -> None:
    board = findings.board
    for upper, lower in pairwise(rows):
        if beats(board, upper, lower):
            continue
        for row, other, side in ((upper, lower, "before"), (lower, upper, "behind")):
            findings.add(
                DifferenceKind.RANK,
                f"stands {side} rank {rank_of(board, other)}, against the order of their own values",
                row,
                column=board.rank_column,
                streamed=rank_of(board, row),
                recomputed=rank_of(board, other),
            )


def _check_membership(
    findings: Findings, streamed: Sequence[Row], last: Row | None, low_rows: Sequence[Row], history: History
) -> None:
    """Whoever surely stands before the last right row, whatever came after the low cut, must be on the board.

    A missing entity and an empty rank are two sides of one deleted row where both are known.
    """
    board = findings.board
    ranks = {rank for row in streamed if (rank := place_of(board, row)) is not None}
    # Once an entity has a row it keeps having one: boards of sums never shrink.
    filled = min(board.rows, max(len(low_rows), max(ranks, default=0)))
    empty_ranks = sorted(set(range(1, filled + 1)) - ranks)
    present = {entity_of(board, row) for row in streamed}
    absent = [row for row in low_rows if entity_of(board, row) not in present]
    _ask_at_once(board, absent, history)
    surely = in_order(
        board, [row for row in absent if last is not None and beats(board, _floor(board, row, history), last)]
    )
    if last is None or len(empty_ranks) > len(surely):
        surely = absent[: max(len(empty_ranks), len(surely))]
    for place in range(max(len(empty_ranks), len(surely))):
        rank = empty_ranks[place] if place < len(empty_ranks) else None
        row = surely[place] if place < len(surely) else None
        findings.add(
            DifferenceKind.MISSING,
            "the rank is empty" if row is None else "had enough before the low cut to be on the board",
            rank=rank,
            entity=None if row is None else entity_of(board, row),
            recomputed=None if row is None else row,
        )


def _lasting(board: Board, rows: Sequence[Row], history: History) -> list[Row]:
    """The rows of the low cut that are surely there until the high cut."""
    kept = list(rows)
    for column in (one for one in board.columns.values() if one.role is ColumnRole.STANDING):
        standing = history.standing(board.entity, column.over, [entity_of(board, row) for row in kept])
        kept = [row for row in kept if (found := standing.get(entity_of(board, row))) and found.low > 0]
    return kept


def _check_keys(findings: Findings, streamed: Sequence[Row], low_rows: Sequence[Row]) -> None:
    """Each of these rows of the low cut is there: no later event takes it away."""
    present = {entity_of(findings.board, row) for row in streamed}
    for row in low_rows:
        if (entity := entity_of(findings.board, row)) not in present:
            sentence = "had a row by the events before the low cut"
            findings.add(DifferenceKind.MISSING, sentence, entity=entity, recomputed=row)


def _ask_at_once(board: Board, rows: Sequence[Row], history: History) -> None:
    """Let the history look up in one scan what `_floor` asks for row by row."""
    for name in {name for term in board.order for name in _lowering(board, term.column)}:
        over = board.columns[name].over
        history.sums(over, [tuple(str(row[part]) for part in over) for row in rows])


def _lowering(board: Board, name: str) -> list[str]:
    """Columns whose growth lowers a row in the order: the denominators of its ratios."""
    column = board.columns[name]
    if column.role is not ColumnRole.RATIO:
        return []
    return [part.strip() for part in (column.denominator or "").split("*")]


def _floor(board: Board, row: Row, history: History) -> Row:
    """The row at its weakest between the cuts: what lifts it as at the low cut, what lowers it as at the high cut."""
    worst = dict(row)
    for term in board.order:
        for name in _lowering(board, term.column):
            over = board.columns[name].over
            key = tuple(str(row[part]) for part in over)
            worst[name] = history.sums(over, [key])[key].high
    return worst
