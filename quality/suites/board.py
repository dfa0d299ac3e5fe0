"""The suite of a board, from its description alone: a new board has its suite as soon as its folder exists."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

from gamestream_dagster.catalogue.boards import Board, Column, ColumnRole, ColumnType
from quality.emptiness import empty_board
from quality.queries import own_expectations, query
from quality.suites.ordering import is_share, out_of_order, ratio_not_its_integers
from quality.suites.suite import PostgresRows, Suite, no_rows

# Totals and counts: a score is never negative, so neither is anything that is summed or counted from it.
_NEVER_NEGATIVE = (ColumnRole.SUM, ColumnRole.COUNT, ColumnRole.DISTINCT, ColumnRole.VALUE)


def suite(board: Board) -> Suite:
    """The suite of one board; a windowed board is looked at in its newest window alone."""
    if board.window:
        select = query("board_rows_newest", board=board.name, as_of=board.window.as_of)
    else:
        select = query("board_rows", board=board.name)
    return Suite(
        name=board.name,
        title=board.title,
        rows=PostgresRows(tables=(board.name,), select=select),
        expectations=(*_shape(board), *_ranks(board), *_columns(board), *_own(board)),
        when_empty=partial(empty_board, board),
        live=True,
    )


def _shape(board: Board) -> Iterator[Expectation]:
    # a board of seasons holds so many rows for each: its ranks bound them
    most = board.rows if board.season_column is None and board.ranked else None
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=1, max_value=most, **_holds(f"Between 1 and {most} rows" if most else "1 row at least")
    )
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=list(board.columns), exact_match=True, **_holds("The columns of the board's description, no other")
    )
    for name in board.columns:
        yield gxe.ExpectColumnValuesToNotBeNull(column=name, **_holds(f"{name} is never empty"))


def _ranks(board: Board) -> Iterator[Expectation]:
    if not board.ranked:
        yield _unique(
            board.key_columns,
            f"{', '.join(board.key_columns)} {'name' if len(board.key_columns) > 1 else 'names'} one row",
        )
        return
    rank = board.rank_column
    yield gxe.ExpectColumnValuesToBeBetween(
        column=rank, min_value=1, max_value=board.rows, **_holds(f"{rank} lies between 1 and {board.rows}")
    )
    season, within = board.season_column, "" if board.season_column is None else " in its season"
    yield _unique(board.key_columns, f"{rank} names one row{within}")
    gap = query("rank_gap", rank=rank) if season is None else query("rank_gap_season", rank=rank, season=season)
    yield no_rows(gap, f"{rank} runs from 1 without a gap{within}")
    stands = "stands" if len(board.entity) == 1 else "stand"
    entity = board.entity if season is None else (season, *board.entity)
    yield _unique(entity, f"{', '.join(board.entity)} {stands} on the board once{within}")
    order = ", ".join(f"{term.column} {'desc' if term.descending else 'asc'}" for term in board.order)
    yield no_rows(out_of_order(board), f"Rows stand in the order {order}, with no tie left")


def _unique(columns: tuple[str, ...], sentence: str) -> Expectation:
    if len(columns) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=columns[0], **_holds(sentence))
    return gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns), **_holds(sentence))


def _columns(board: Board) -> Iterator[Expectation]:
    for name, column in board.columns.items():
        if column.role in _NEVER_NEGATIVE and column.type is ColumnType.BIGINT:
            yield gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, **_holds(f"{name} is not negative"))
        if column.role is ColumnRole.RATIO:
            yield from _ratio(board, name, column)
        if column.role is ColumnRole.KEY and column.type is ColumnType.STRING:
            yield gxe.ExpectColumnValueLengthsToBeBetween(column=name, min_value=1, **_holds(f"{name} is not blank"))
    if board.window:
        sentence = f"{board.window.as_of} is a multiple of {board.window.tick_seconds} s of event time"
        ticks = query("window_end_off_tick", as_of=board.window.as_of, tick_seconds=board.window.tick_seconds)
        yield no_rows(ticks, sentence)


def _ratio(board: Board, name: str, column: Column) -> Iterator[Expectation]:
    sentence = f"{name} is ({column.numerator}) / ({column.denominator})"
    yield no_rows(ratio_not_its_integers(board, name), sentence)
    if is_share(board, column):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=0, strict_min=True, max_value=1, **_holds(f"{name} is a share: above 0, at most 1")
        )
    else:
        yield gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, **_holds(f"{name} is not negative"))


def _own(board: Board) -> Iterator[Expectation]:
    for sentence, select in own_expectations(board.folder).values():
        yield no_rows(select, sentence)


def _holds(sentence: str) -> dict[str, Any]:
    return {"description": sentence, "meta": {"holds": sentence}}
