"""Streamed rows against the recompute at one cut: a drained stream, or the window of a board that has one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.compare.findings import (
    Findings,
    check_shown_ratio,
    entity_of,
    rank_of,
    whole_rows,
)
from gamestream_dagster.reconciliation.model.values import Difference, DifferenceKind, Entity, Row, Sink


def compare_equal(board: Board, sink: Sink, streamed: Sequence[Row], recomputed: Sequence[Row]) -> list[Difference]:
    """Whole rows against whole rows, by entity.

    Args:
        board: description; `as_of` columns are not compared (the caller chose the window).
        sink: where the streamed rows come from.
        streamed: rows as the sink holds them, any order.
        recomputed: rows of the recompute at the same cut.
    """
    findings = Findings(board, sink)
    rows = whole_rows(findings, streamed)
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


def _compare_row(findings: Findings, streamed: Row, recomputed: Row) -> None:
    board = findings.board
    before = len(findings.found)
    for name, column in board.columns.items():
        if column.role in (ColumnRole.RANK, ColumnRole.KEY, ColumnRole.AS_OF, ColumnRole.FINAL):
            continue
        if column.role is ColumnRole.RATIO:
            check_shown_ratio(findings, name, column, streamed)
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


def unlike(board: Board, sink: Sink, row: Row, expected: Row | None) -> list[Difference]:
    """What is wrong with one row by itself against the row that the recompute gives for its entity, if any."""
    rows = [] if expected is None else [expected]
    return [one for one in compare_equal(board, sink, [row], rows) if one.kind is not DifferenceKind.RANK]
