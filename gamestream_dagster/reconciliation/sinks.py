"""Streamed boards as rows: the Postgres tables in one snapshot, the compacted Kafka topics under read_committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, select
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.board_topic import BoardTopic, Change
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model import Row
from gamestream_dagster.warehouse.tables import board_table

_MOST_KEYS = 100_000


def read_tables(engine: Engine, boards: Sequence[Board]) -> dict[str, list[Row]]:
    """Every board as its table holds it, all in one REPEATABLE READ snapshot, in order of rank.

    Raises:
        CouldNotLookError: a table does not exist or lacks a column.
    """
    try:
        with engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as database:
            return {board.name: _read_table(database, board) for board in boards}
    except ProgrammingError as error:
        raise _unreadable(error) from error


def _unreadable(error: ProgrammingError) -> CouldNotLookError:
    return CouldNotLookError(
        f"a board's table cannot be read ({str(error.orig).splitlines()[0]})",
        "see how the tables differ with `gamestream plan`, and mend them with `gamestream apply`",
    )


def _read_table(database: Connection, board: Board) -> list[Row]:
    table = board_table(board, MetaData())
    newest = [] if board.season_column is None else [table.c[board.season_column].desc()]
    # A limit, because a faulty job could write any number of ranks; of a board of seasons these are the newest ones.
    found = database.execute(select(table).order_by(*newest, table.c[board.rank_column]).limit(10 * board.rows))
    return [{name: _plain(value) for name, value in row.items()} for row in found.mappings()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    return value


def read_topic(bootstrap: str, board: Board, timeout_seconds: float = 30) -> list[Row]:
    """The board as its Kafka topic holds it: every committed record from the start, the newest of each rank.

    Raises:
        CouldNotLookError: the topic cannot be read to its end within the limit, or holds what is no row.
        ServiceError: Kafka gives no answer, or there is no such topic.
    """
    newest: dict[bytes, Change] = {}
    for change in BoardTopic(bootstrap, board, timeout_seconds).changes():
        if change.value is None:
            newest.pop(change.key, None)
        else:
            newest[change.key] = change
        if len(newest) > _MOST_KEYS:
            raise CouldNotLookError(f"{board.topic} holds over {_MOST_KEYS} ranks", "only the job may write to it")
    rows = [change.row(board) for change in newest.values()]
    return sorted(rows, key=lambda row: (row[board.rank_column] is None, row[board.rank_column]))


def newest_window(board: Board, rows: Sequence[Row], season: int | None = None) -> tuple[int | None, list[Row]]:
    """What readers see: the rows of the newest window or season, and its `as_of` or start in milliseconds.

    Args:
        board: its description.
        rows: as a sink holds them.
        season: start of another season, milliseconds.
    """
    column = board.season_column or next((n for n, c in board.columns.items() if c.role is ColumnRole.AS_OF), None)
    if column is None:
        return None, list(rows)
    if season is not None:
        return season, [row for row in rows if row[column] == season]
    stamps = [row[column] for row in rows if row[column] is not None]
    if not stamps:
        return None, []
    newest = max(stamps)
    return newest, [row for row in rows if row[column] == newest]


def visible(board: Board, rows: Sequence[Row], season: int | None = None) -> list[Row]:
    """The rows that a reader of the board sees; of a board of seasons those of the newest one, or of the one given."""
    return newest_window(board, rows, season)[1]


def read_season(engine: Engine, board: Board, start: int) -> list[Row]:
    """The rows of one season in the board's table, in order of rank, however old it is. `start`: milliseconds.

    Raises:
        CouldNotLookError: the table does not exist or lacks a column.
    """
    table = board_table(board, MetaData())
    at = datetime.fromtimestamp(start / 1000, UTC)
    query = select(table).where(table.c[board.season_column or ""] == at).order_by(table.c[board.rank_column])
    try:
        with engine.connect() as database:
            found = database.execute(query.limit(10 * board.rows)).mappings().all()
    except ProgrammingError as error:
        raise _unreadable(error) from error
    return [{name: _plain(value) for name, value in row.items()} for row in found]


Boards = Mapping[str, list[Row]]
