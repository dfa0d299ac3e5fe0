"""Streamed rows against what the recompute allows: pure, generic over the descriptions of the boards.

`compare_equal` is for one cut (a drained stream, or the window of a board that has one). `compare_bracket` is for a
board read somewhere between two cuts. Both return the differences in order of rank; an empty list means equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gamestream_dagster.catalogue.boards import Board, Column, ColumnRole
from gamestream_dagster.reconciliation.model.input_history import Best, History
from gamestream_dagster.reconciliation.model.order import beats, in_order, ratio, shown_ratio_is_right
from gamestream_dagster.reconciliation.model.ranges import LabelRange, SumRange
from gamestream_dagster.reconciliation.model.values import (
    BoardResult,
    Difference,
    DifferenceKind,
    Entity,
    Row,
    Sink,
    SinkRow,
    Unreadable,
    without_a_rank,
)


@dataclass
class _Findings:
    """Collects differences of one board in one sink."""

    board: Board
    sink: Sink
    found: list[Difference] = field(default_factory=list[Difference])

    def add(
        self,
        kind: DifferenceKind,
        explanation: str,
        row: Row | None = None,
        *,
        rank: int | None = None,
        entity: Entity | None = None,
        column: str | None = None,
        streamed: Any = None,
        recomputed: Any = None,
    ) -> None:
        evidence: dict[str, Any] = {}
        if row is not None:
            rank, entity = place_of(self.board, row), entity_of(self.board, row)
            record = row.record if isinstance(row, SinkRow) else None
            evidence = {} if record is None else {"record": record}
        self.found.append(
            Difference(
                board=self.board.name,
                sink=self.sink,
                kind=kind,
                rank=rank,
                entity=entity,
                column=column,
                streamed=streamed,
                recomputed=recomputed,
                explanation=explanation,
                evidence=evidence,
            )
        )

    def sorted(self) -> list[Difference]:
        return sorted(self.found, key=lambda d: (d.rank is None, d.rank or 0, d.kind, d.entity or (), d.column or ""))


def entity_of(board: Board, row: Row) -> Entity:
    """What the row is about; an empty text for what it does not say."""
    return tuple("" if row.get(name) is None else str(row[name]) for name in board.entity)


def rank_of(board: Board, row: Row) -> int:
    """The rank of a whole row; 0 where rows have none."""
    return int(row[board.rank_column]) if board.ranked else 0


def place_of(board: Board, row: Row) -> int | None:
    """The row's rank, if it has a readable one."""
    rank = row.get(board.rank_column) if board.ranked else None
    return rank if isinstance(rank, int) else None


def has_place(board: Board, row: Row) -> bool:
    """Whether the row says which one of the output it is."""
    if board.ranked:
        return place_of(board, row) is not None
    return all(row.get(name) is not None and not isinstance(row[name], Unreadable) for name in board.entity)


def compared(
    board: Board,
    sink: Sink,
    shown: Sequence[Row],
    expected: int,
    found: Sequence[Difference],
    *,
    as_of: int | None = None,
) -> BoardResult:
    """The result of a comparison, with counts that add up: equal rows and rows that differ are the rows compared.

    Each rank that is shown or expected counts as one row, and so does each row that differs without having a rank.
    Where rows have no ranks it is their keys: those shown, and those that are missing.

    Args:
        board: description.
        sink: where the rows come from.
        shown: its rows.
        expected: how many ranks should be shown.
        found: the differences.
        as_of: the window, if the board has one.
    """
    if not board.ranked:
        absent = {one.row for one in found if one.kind in (DifferenceKind.MISSING, DifferenceKind.STALE)}
        return BoardResult(board.name, sink, len(shown) + len(absent), tuple(found), as_of, ranked=False)
    ranks = {rank for row in shown if (rank := place_of(board, row)) is not None}
    ranks |= set(range(1, expected + 1)) | {one.rank for one in found if one.rank is not None}
    return BoardResult(board.name, sink, len(ranks) + without_a_rank(found), tuple(found), as_of)


def fault_of(board: Board, row: Row) -> tuple[str, str] | None:
    """The first column in which a row holds what no job writes, and what is wrong there; None for a whole row."""
    if isinstance(row, SinkRow) and row.record is not None and not has_place(board, row):
        key = row.record.evidence()["key"]
        return board.key_columns[-1], f"the key of the record at {row.record} names no row of the board: {key!r}"
    for name, column in board.columns.items():
        value = row.get(name)
        if value is None:
            return name, f"{name} is empty"
        if isinstance(value, Unreadable):
            return name, f"{name} is {value}, which is no {column.type.value} that the job can have written"
        if f"{name} in the value" in row:
            return name, f"{name} is {value} by the record's key, and {row[f'{name} in the value']} by its value"
    strange = next((name for name in row if name not in board.columns), None)
    return None if strange is None else (strange, f"{strange} is {row[strange]}: the board has no such column")


def compare_equal(board: Board, sink: Sink, streamed: Sequence[Row], recomputed: Sequence[Row]) -> list[Difference]:
    """Whole rows against whole rows, by entity.

    Args:
        board: description; `as_of` columns are not compared (the caller chose the window).
        sink: where the streamed rows come from.
        streamed: rows as the sink holds them, any order.
        recomputed: rows of the recompute at the same cut.
    """
    findings = _Findings(board, sink)
    rows = _whole(findings, streamed)
    expected = {entity_of(board, row): row for row in recomputed}
    ranks = {entity: rank_of(board, row) for entity, row in expected.items()}
    # Of two rows of one entity, the one at the right rank is the genuine one.
    rows.sort(key=lambda row: (ranks.get(entity_of(board, row)) != rank_of(board, row), rank_of(board, row)))
    seen: dict[Entity, int] = {}
    for row in rows:
        entity = entity_of(board, row)
        if entity in seen:
            findings.add(
                DifferenceKind.EXTRA, f"stands on the board twice, at rank {seen[entity]} too", row, streamed=row
            )
            continue
        seen[entity] = rank_of(board, row)
        if entity in expected:
            _compare_row(findings, row, expected[entity])
        else:
            findings.add(DifferenceKind.EXTRA, "the recompute has no such row", row, streamed=row)
    empty = {entity_of(board, row) for row in streamed} - seen.keys()
    for entity, row in expected.items():
        if entity not in seen and entity not in empty:
            rank = ranks[entity] if board.ranked else None
            where = f"belongs at rank {rank}" if board.ranked else "the recompute has a row of it"
            findings.add(DifferenceKind.MISSING, where, rank=rank, entity=entity, recomputed=row)
    return findings.sorted()


def _whole(findings: _Findings, streamed: Sequence[Row]) -> list[Row]:
    """The rows that have every column; any other row is a difference and is not looked at further."""
    whole: list[Row] = []
    for row in streamed:
        fault = fault_of(findings.board, row)
        if fault is None:
            whole.append(row)
            continue
        kind = DifferenceKind.VALUE if has_place(findings.board, row) else DifferenceKind.EXTRA
        findings.add(kind, fault[1], row, column=fault[0], streamed=row.get(fault[0]))
    return whole


def _compare_row(findings: _Findings, streamed: Row, recomputed: Row) -> None:
    board = findings.board
    before = len(findings.found)
    for name, column in board.columns.items():
        if column.role in (ColumnRole.RANK, ColumnRole.KEY, ColumnRole.AS_OF):
            continue
        if column.role is ColumnRole.RATIO:
            _check_shown_ratio(findings, name, column, streamed)
        elif streamed[name] != recomputed[name]:
            findings.add(
                DifferenceKind.VALUE,
                f"{name} is {streamed[name]!r}, the recompute says {recomputed[name]!r}",
                streamed,
                column=name,
                streamed=streamed[name],
                recomputed=recomputed[name],
            )
    rank, expected = rank_of(board, streamed), rank_of(board, recomputed)
    if len(findings.found) == before and rank != expected:
        findings.add(
            DifferenceKind.RANK,
            f"the row is right, but belongs at rank {expected}",
            streamed,
            column=board.rank_column,
            streamed=rank,
            recomputed=expected,
        )


def _check_shown_ratio(findings: _Findings, name: str, column: Column, row: Row) -> None:
    if shown_ratio_is_right(column, row, row[name]):
        return
    exact = ratio(column, row)
    findings.add(
        DifferenceKind.VALUE,
        f"{name} is {row[name]!r}, the row's own integers give {'no ratio' if exact is None else float(exact)!r}",
        row,
        column=name,
        streamed=row[name],
        recomputed=None if exact is None else float(exact),
    )


def value_differences(board: Board, sink: Sink, row: Row, history: History) -> list[Difference]:
    """What is wrong with one row by itself: a stranger, or values that no cut in the bracket gives."""
    findings = _Findings(board, sink)
    _check_values(findings, _without_strangers(findings, _whole(findings, [row]), history), history)
    return findings.found


def unlike(board: Board, sink: Sink, row: Row, expected: Row | None) -> list[Difference]:
    """What is wrong with one row by itself against the row that the recompute gives for its entity, if any."""
    rows = [] if expected is None else [expected]
    return [one for one in compare_equal(board, sink, [row], rows) if one.kind is not DifferenceKind.RANK]


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
    findings = _Findings(board, sink)
    rows = _whole(findings, streamed)
    rows.sort(key=lambda row: rank_of(board, row))
    rows = _without_strangers(findings, rows, history)
    _check_values(findings, rows, history)
    if not board.ranked:
        _check_keys(findings, streamed, low_rows)
        return findings.sorted()
    wrong = {difference.rank for difference in findings.found}
    right = [row for row in rows if rank_of(board, row) not in wrong]
    _check_order(findings, right)
    _check_membership(findings, streamed, right[-1] if right else None, low_rows, history)
    return findings.sorted()


def _without_strangers(findings: _Findings, rows: Sequence[Row], history: History) -> list[Row]:
    """The rows whose entity can be on the board, each once."""
    board = findings.board
    known = history.sums(board.entity, list(dict.fromkeys(entity_of(board, row) for row in rows)))
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
        else:
            seen[entity] = rank
            kept.append(row)
    return kept


def _check_values(findings: _Findings, rows: Sequence[Row], history: History) -> None:
    board = findings.board
    entities = [entity_of(board, row) for row in rows]
    for name, column in board.columns.items():
        match column.role:
            case ColumnRole.SUM | ColumnRole.COUNT:
                keys = [tuple(str(row[part]) for part in column.over) for row in rows]
                asked = history.sums if column.role is ColumnRole.SUM else history.counts
                ranges = asked(column.over, list(dict.fromkeys(keys)))
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
                    _check_shown_ratio(findings, name, column, row)
            case _:
                pass


def _check_sum(findings: _Findings, row: Row, name: str, allowed: SumRange | None) -> None:
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


def _check_label(findings: _Findings, row: Row, name: str, allowed: LabelRange) -> None:
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


def _check_choice(findings: _Findings, row: Row, name: str, column: Column, best: Best | None) -> None:
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


def _check_order(findings: _Findings, rows: Sequence[Row]) -> None:
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
    findings: _Findings, streamed: Sequence[Row], last: Row | None, low_rows: Sequence[Row], history: History
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


def _check_keys(findings: _Findings, streamed: Sequence[Row], low_rows: Sequence[Row]) -> None:
    """Who had a row by the events before the low cut has one still: such an output never shrinks."""
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
