"""Reads the boards as they stand in Postgres."""

import time
from dataclasses import dataclass
from typing import Any

import dagster as dg

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.serving.queries import stored_rows
from gamestream_dagster.settings import Settings

MOST_SHOWN = 2000
"""Rows of an output without ranks that the metadata of an asset can hold."""


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

        with open_engine(self._settings) as engine, engine.connect() as connection:
            check_tables(connection, [board])
            rows = tuple(tuple(row.values.values()) for row in stored_rows(connection, board, MOST_SHOWN))
        return BoardRows(columns=tuple(board.columns), rows=rows)

    def forget_old_rows(self) -> dict[str, int]:
        """Delete rows past the retention of their output; returns how many, by output with a retention.

        Raises:
            ServiceError: Kafka or Postgres does not answer.
        """
        from gamestream_dagster.serving.forgetting import forget_old_rows

        kept = [one for one in load_boards(season=self._settings.season).values() if one.retention is not None]
        return {one.name: forget_old_rows(self._settings, one, round(time.time() * 1000)) for one in kept}


class BoardTablesResource(dg.ConfigurableResource[BoardTables]):
    """Opens the board tables of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> BoardTables:
        """A plain reader."""
        return BoardTables(self.stack)
