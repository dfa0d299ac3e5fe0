"""What a comparison finds: differences of one board in one sink, and the rows that can be compared at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gamestream_dagster.catalogue.boards import Board, Column
from gamestream_dagster.reconciliation.model.order import ratio, shown_ratio_is_right
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
class Findings:
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
        """Note a difference; of a row its rank, entity and record are known."""
        values = {"column": column, "streamed": streamed, "recomputed": recomputed}
        if row is not None:
            self.found.append(row_difference(self.board, self.sink, kind, explanation, row, **values))
        else:
            found = board_difference(self.board, self.sink, kind, explanation, **values)
            self.found.append(replace(found, rank=rank, entity=entity))

    def sorted(self) -> list[Difference]:
        """The differences in order of rank; those without one are last."""
        return sorted(self.found, key=lambda d: (d.rank is None, d.rank or 0, d.kind, d.entity or (), d.column or ""))


def row_difference(
    board: Board,
    sink: Sink,
    kind: DifferenceKind,
    explanation: str,
    row: Row,
    *,
    column: str | None = None,
    streamed: Any = None,
    recomputed: Any = None,
) -> Difference:
    """A difference of a row that the sink shows: its rank, entity and record are known."""
    found = board_difference(board, sink, kind, explanation, column=column, streamed=streamed, recomputed=recomputed)
    record = row.record if isinstance(row, SinkRow) else None
    evidence = {} if record is None else {"record": record}
    return replace(found, rank=place_of(board, row), entity=entity_of(board, row), evidence=evidence)


def board_difference(
    board: Board,
    sink: Sink,
    kind: DifferenceKind,
    explanation: str,
    *,
    column: str | None = None,
    streamed: Any = None,
    recomputed: Any = None,
) -> Difference:
    """A difference of the whole board, which has neither rank nor entity."""
    return Difference(
        board=board.name,
        sink=sink,
        kind=kind,
        rank=None,
        entity=None,
        column=column,
        streamed=streamed,
        recomputed=recomputed,
        explanation=explanation,
    )


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


def whole_rows(findings: Findings, streamed: Sequence[Row]) -> list[Row]:
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


def check_shown_ratio(findings: Findings, name: str, column: Column, row: Row) -> None:
    """See that a shown ratio is that of the row's own integers."""
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
