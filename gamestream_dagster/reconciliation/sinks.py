"""Streamed boards as rows: the Postgres tables in one snapshot, the compacted Kafka topics under read_committed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, TopicPartition
from sqlalchemy import Connection, Engine, MetaData, select
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.catalogue.boards import Board, ColumnRole, ColumnType
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
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
        raise CouldNotLookError(
            f"a board's table cannot be read ({str(error.orig).splitlines()[0]})",
            "see how the tables differ with `gamestream plan`, and mend them with `gamestream apply`",
        ) from error


def _read_table(database: Connection, board: Board) -> list[Row]:
    table = board_table(board, MetaData())
    # A limit, because a faulty job could write any number of ranks.
    found = database.execute(select(table).order_by(table.c[board.rank_column]).limit(10 * board.rows))
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
    admin = KafkaAdmin(bootstrap)
    beginnings, ends = admin.beginning_offsets(board.topic), admin.end_offsets(board.topic, read_committed=True)
    waiting = {partition: end for partition, end in ends.items() if beginnings.get(partition, 0) < end}
    newest: dict[bytes, bytes] = {}
    if waiting:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "gamestream-board-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )
        try:
            consumer.assign([TopicPartition(board.topic, partition, beginnings[partition]) for partition in waiting])
            _compact(consumer, board, waiting, newest, time.monotonic() + timeout_seconds)
        finally:
            consumer.close()
    rows = [_row(board, key, value) for key, value in newest.items()]
    return sorted(rows, key=lambda row: (row[board.rank_column] is None, row[board.rank_column]))


def _compact(
    consumer: Consumer, board: Board, waiting: dict[int, int], newest: dict[bytes, bytes], deadline: float
) -> None:
    while waiting:
        for message in consumer.consume(10_000, timeout=0.2):
            partition, error = message.partition() or 0, message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
                    raise CouldNotLookError(f"{board.topic} cannot be read: {error.str()}", "see `gamestream status`")
                waiting.pop(partition, None)
                continue
            key, value = message.key(), message.value()
            if not isinstance(key, bytes):
                raise CouldNotLookError(
                    f"{board.topic} holds a record without a key", "only the job may write to a board's topic"
                )
            if value is None:
                newest.pop(key, None)
            else:
                newest[key] = value
            if (message.offset() or 0) + 1 >= waiting.get(partition, 0):
                waiting.pop(partition, None)
        if len(newest) > _MOST_KEYS:
            raise CouldNotLookError(f"{board.topic} holds over {_MOST_KEYS} ranks", "only the job may write to it")
        if waiting and time.monotonic() > deadline:
            raise CouldNotLookError(f"{board.topic} was not read to its end within the limit", "try again in a moment")


def _row(board: Board, key: bytes, value: bytes) -> Row:
    try:
        found: dict[str, Any] = orjson.loads(value)
        return {name: _value(found.get(name), column.type) for name, column in board.columns.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CouldNotLookError(
            f"{board.topic} holds a record that is no row of {board.name} (key {key[:60]!r}: {error})",
            "only the job may write to a board's topic",
        ) from error


def _value(value: Any, kind: ColumnType) -> Any:
    if value is None:
        return None
    match kind:
        case ColumnType.TIMESTAMP:
            return _milliseconds(value)
        case ColumnType.DOUBLE:
            return float(value)
        case ColumnType.BIGINT:
            return int(value)
        case ColumnType.STRING:
            return str(value)


def _milliseconds(value: Any) -> int:
    """Flink writes `2026-11-21 04:00:05Z` or with a T; a number is milliseconds already."""
    if isinstance(value, int):
        return value
    at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def newest_window(board: Board, rows: Sequence[Row]) -> tuple[int | None, list[Row]]:
    """What readers of a board with a window see: the rows of the newest `as_of`, and that `as_of` in milliseconds."""
    column = next((name for name, c in board.columns.items() if c.role is ColumnRole.AS_OF), None)
    if column is None:
        return None, list(rows)
    stamps = [row[column] for row in rows if row[column] is not None]
    if not stamps:
        return None, []
    newest = max(stamps)
    return newest, [row for row in rows if row[column] == newest]


def visible(board: Board, rows: Sequence[Row]) -> list[Row]:
    """The rows that a reader of the board sees."""
    return newest_window(board, rows)[1]


Boards = Mapping[str, list[Row]]
