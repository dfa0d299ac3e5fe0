"""The one reader of an output's rows in Postgres.

The engine (`clients.postgres`) names the schema, so that no table of another one stands in for the board's. Times are
read as text: Postgres has infinity and years that Python lacks, and a value that cannot be loaded must be shown
as it is and hide no other row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Select, TableClause

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.warehouse.described_tables import BOARD_TYPES

# no column of a board has spaces in its name
_AGE: Final = "age of the row"
_PLACE: Final = "place of the row"
_COUNTED: Final = "place among those of its kind"
_FLOOD: Final = 10  # times a board's length: more rows than it has are a fault worth showing, a flood is not


@dataclass(frozen=True)
class StoredRow:
    """A row of the table, in the order of the board's columns; times are Postgres' text, in UTC."""

    values: Mapping[str, Any]
    age: int
    """Transactions since it was written."""


def stored_rows(database: Connection, board: Board, most: int | None = None) -> list[StoredRow]:
    """What the table holds, at most ten times the board's length: faults too, but none that hides the board's own.

    Rows of ranks that the board has come first, of a board of seasons those of the newest season, then by rank. Seasons
    that have not begun are limited apart: they hide none that has.
    Without ranks by key, and one row more than the output may have, to see whether it does; `most` is a smaller limit.
    """
    table = _table(board)
    if not board.ranked:
        keys = (table.c[name] for name in board.key_columns)
        limit = board.rows + 1 if most is None else min(most, board.rows + 1)
        return _rows(database, board, _selected(board, table).order_by(*keys).limit(limit))
    rank = table.c[board.rank_column]
    order: list[ColumnElement[Any]] = [~rank.between(1, board.rows), rank]
    apart: list[ColumnElement[Any]] = []
    if board.season_column is not None:
        season = table.c[board.season_column]
        order, apart = [season.desc(), *order], [season > sa.func.now()]
    counted = sa.func.row_number().over(partition_by=apart or None, order_by=order).label(_COUNTED)
    placed = sa.func.row_number().over(order_by=order).label(_PLACE)
    within = _selected(board, table).add_columns(counted, placed).subquery()
    limited = sa.select(within).where(within.c[_COUNTED] <= _FLOOD * board.rows)
    return _rows(database, board, limited.order_by(within.c[_PLACE]))


def shown_rows(database: Connection, board: Board) -> list[StoredRow]:
    """The displayed rows: the newest window or season, by rank, at most the board's length."""
    table = _table(board)
    query = _selected(board, table).order_by(table.c[board.rank_column]).limit(board.rows)
    newest = board.window.as_of if board.window else board.season_column
    if newest is not None:
        period = table.c[newest]
        # a time beyond Python's calendar is not a period that a page can name; the reconciliation reports such rows
        loadable = period.between(sa.text("'0001-01-02'"), sa.text("'9999-12-30'"))
        latest = sa.select(sa.func.max(period)).where(loadable).scalar_subquery()
        query = query.where(period == latest)
    return _rows(database, board, query)


def season_rows(database: Connection, board: Board, start: datetime) -> list[StoredRow]:
    """The rows of the season that began at `start`, however old it is, by rank.

    Raises:
        ValueError: the board has no seasons.
    """
    if board.season_column is None:
        raise ValueError(f"{board.name} is not a board of seasons")
    table = _table(board)
    query = _selected(board, table).where(table.c[board.season_column] == start)
    keys = (table.c[name] for name in board.key_columns)
    return _rows(database, board, query.order_by(*keys).limit(_FLOOD * board.rows))


def loaded(board: Board, row: StoredRow) -> dict[str, Any]:
    """The row with its times as datetimes in UTC; only for rows of `shown_rows`, whose period can be loaded.

    Other times beyond Python's calendar stay text.
    """
    times = {name for name, column in board.columns.items() if column.type is ColumnType.TIMESTAMP}
    return {name: _time(value) if name in times else value for name, value in row.values.items()}


def _time(text: str | None) -> datetime | str | None:
    try:
        return text and datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text


def _table(board: Board) -> TableClause:
    """A clause and no `Table`: SQLAlchemy keeps compiled queries by a clause's structure, by a table's identity."""
    columns = (sa.column(name, BOARD_TYPES[column.type]) for name, column in board.columns.items())
    return sa.table(board.name, *columns)


def _selected(board: Board, table: TableClause) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [
        sa.cast(table.c[name], sa.Text).label(name) if column.type is ColumnType.TIMESTAMP else table.c[name]
        for name, column in board.columns.items()
    ]
    return sa.select(*columns, sa.func.age(sa.literal_column(f"{board.name}.xmin")).label(_AGE))


def _rows(database: Connection, board: Board, query: Select[Any]) -> list[StoredRow]:
    return [
        StoredRow({name: row[name] for name in board.columns}, row[_AGE]) for row in database.execute(query).mappings()
    ]
