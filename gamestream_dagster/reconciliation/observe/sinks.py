"""Streamed boards as rows: the Postgres tables in one snapshot, the compacted Kafka topics under read_committed."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, NotSupportedError, ProgrammingError

from gamestream_dagster.catalogue.boards import Board, ColumnRole, ColumnType
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import Row, SinkRow, Unreadable
from gamestream_dagster.reconciliation.observe.board_topic import BoardTopic, Change, Key, milliseconds, shown_by_job
from gamestream_dagster.reconciliation.observe.table_shape import check_tables
from gamestream_dagster.serving.queries import StoredRow, season_rows, stored_rows

_MOST_KEYS = 100_000


def read_tables(engine: Engine, boards: Sequence[Board]) -> dict[str, list[Row]]:
    """Every board as its table holds it, all in one REPEATABLE READ snapshot, in order of rank.

    A value that the driver cannot load or that no job writes (`infinity`, `NaN`) comes back as an `Unreadable`.

    Raises:
        CouldNotLookError: a table does not exist, or is not as `output.yaml` describes it.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as database:
        check_tables(database, boards)
        with _sentence():
            return {board.name: _read_table(database, board) for board in boards}


@contextmanager
def _sentence() -> Generator[None]:
    """Turn the driver's errors into one sentence."""
    try:
        yield
    except (ProgrammingError, DataError, NotSupportedError) as error:
        reason = str(error.orig).splitlines()[0]
        raise CouldNotLookError(
            f"a board's table cannot be read ({reason})", "see how the tables differ with `gamestream plan`"
        ) from error


_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,3})?\+00")


def _read_table(database: Connection, board: Board) -> list[Row]:
    rows: list[Row] = [_row(board, row) for row in stored_rows(database, board)]
    if not board.ranked:
        _check_size(board, len(rows))
    keep = board.season_column is not None or not board.ranked
    return rows if keep else sorted(rows, key=lambda row: row[board.rank_column])


def _check_size(board: Board, rows: int) -> None:
    if rows > board.rows:
        raise CouldNotLookError(
            f"{board.name} holds over {board.rows:,} rows",
            f"raise `rows` in {board.folder / 'output.yaml'}: that many are held in memory and compared",
        )


def _row(board: Board, found: StoredRow) -> SinkRow:
    row = SinkRow({name: _plain(found.values[name], column.type) for name, column in board.columns.items()})
    row.age = found.age
    return row


def _plain(value: Any, kind: ColumnType) -> Any:
    if value is None:
        return None
    if kind is ColumnType.TIMESTAMP:
        match = _TIME.fullmatch(value)
        millis = milliseconds(match[0]) if match else None
        return Unreadable(value) if millis is None else millis
    if isinstance(value, float) and not shown_by_job(value):
        return Unreadable("NaN" if isnan(value) else f"{value:g}".replace("inf", "Infinity"))
    return value


@dataclass(frozen=True)
class TopicRows:
    """A board's topic as a reader of its keys sees it."""

    rows: list[Row]
    without_key: int
    """Records that no key names: no reader of the board holds them, and compaction drops them."""


def read_topic_rows(kafka: KafkaConnection, board: Board, timeout_seconds: float = 30) -> TopicRows:
    """Every committed record from the start, the newest of each key by value; newest records that are no row too.

    Raises:
        CouldNotLookError: the topic cannot be read to its end within the limit.
        ServiceError: Kafka gives no answer, or there is no such topic.
    """
    newest: dict[bytes, Change] = {}
    without_key = 0
    for change in BoardTopic(kafka, board, timeout_seconds).changes():
        if change.key is None:
            without_key += 1
            continue
        newest.pop(change.key, None)  # so that the newest of two spellings of one key comes last
        newest[change.key] = change
        if len(newest) > max(_MOST_KEYS, board.rows):
            raise CouldNotLookError(
                f"{board.topic} holds over {max(_MOST_KEYS, board.rows)} keys", "only the job may write to it"
            )
    last: dict[Key | bytes, Change] = {}
    for key, change in newest.items():
        last[change.key_of(board) or key] = change
    rows = [change.row(board) for change in last.values() if change.value is not None]
    if board.ranked:
        rows.sort(key=lambda row: (row[board.rank_column] is None, row[board.rank_column] or 0))
    else:
        _check_size(board, len(rows))
        rows.sort(key=lambda row: [str(row[name]) for name in board.key_columns])
    return TopicRows([*rows], without_key)


def read_topic(kafka: KafkaConnection, board: Board, timeout_seconds: float = 30) -> list[Row]:
    """The rows of `read_topic_rows`."""
    return read_topic_rows(kafka, board, timeout_seconds).rows


def newest_window(board: Board, rows: Sequence[Row], season: int | None = None) -> tuple[int | None, list[Row]]:
    """What readers see: the rows of the newest window or season, and its `as_of` or start in milliseconds.

    Rows whose window cannot be read come with them: a reader may hold them for the newest.

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
    stamps = [row[column] for row in rows if isinstance(row[column], int)]
    newest = max(stamps) if stamps else None
    return newest, [row for row in rows if row[column] == newest or not isinstance(row[column], int)]


def visible(board: Board, rows: Sequence[Row], season: int | None = None) -> list[Row]:
    """The rows that a reader of the board sees; of a board of seasons those of the newest one, or of the one given."""
    return newest_window(board, rows, season)[1]


def by_key(board: Board, rows: Sequence[Row]) -> dict[Key, Row]:
    """The rows by the values of their key columns; those without a whole key are left out."""
    keyed = ((tuple(row.get(name) for name in board.key_columns), row) for row in rows)
    return {key: row for key, row in keyed if all(isinstance(value, int | str) for value in key)}


def read_season(engine: Engine, board: Board, start: int) -> list[Row]:
    """The rows of one season in the board's table, in order of rank, however old it is. `start`: milliseconds.

    Raises:
        CouldNotLookError: the table does not exist, or is not as `output.yaml` describes it.
    """
    at = datetime.fromtimestamp(start / 1000, UTC)
    with engine.connect() as database:
        check_tables(database, [board])
        with _sentence():
            return [_row(board, row) for row in season_rows(database, board, at)]
