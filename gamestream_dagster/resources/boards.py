"""Reads the boards as they stand in Postgres."""

from dataclasses import dataclass
from typing import Any

import dagster as dg
import sqlalchemy as sa

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Settings

MOST_SHOWN = 2000
"""Rows that the metadata of an asset can hold: twice the ranks of the longest board."""


@dataclass(frozen=True)
class BoardRows:
    """The rows of one output at one instant, by rank or by key."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class BoardTables:
    """The board tables of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, board: Board) -> BoardRows:
        """The rows of an output, by rank or by key, at most `MOST_SHOWN`.

        Raises:
            TransientServiceError: Postgres does not answer.
            CouldNotLookError: the table is missing, or not as `output.yaml` describes it.
        """
        from gamestream_dagster.reconciliation.observe.table_shape import check_tables

        # identifiers come from the catalogue, which allows small letters, digits and _ alone; times as text, because
        # Python knows no infinity and no year beyond 9999
        columns = [
            sa.cast(sa.column(name), sa.Text) if column.type is ColumnType.TIMESTAMP else sa.column(name)
            for name, column in board.columns.items()
        ]
        order = (board.rank_column,) if board.ranked else board.key_columns
        statement = (
            sa.select(*columns)
            .select_from(sa.table(board.name))
            .order_by(*(sa.column(name) for name in order))
            .limit(
                min(2 * board.rows, MOST_SHOWN)
            )  # more than the board's length is a fault worth showing, not worth a flood
        )
        with open_engine(self._settings) as engine, engine.connect() as connection:
            check_tables(connection, [board])
            rows = tuple(tuple(row) for row in connection.execute(statement))
        return BoardRows(columns=tuple(board.columns), rows=rows)


class BoardTablesResource(dg.ConfigurableResource[BoardTables]):
    """Opens the board tables of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> BoardTables:
        """A plain reader."""
        return BoardTables(self.stack)
