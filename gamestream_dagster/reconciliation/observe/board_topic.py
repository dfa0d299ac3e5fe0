"""The Kafka topic of a board: every committed change of every row, in order."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import copysign, isfinite
from typing import Any, cast

import orjson
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import RecordAt, Row, SinkRow, Unreadable

Key = tuple[Any, ...]
"""Values of a board's key columns, which identify a row however a record's key spells them."""


@dataclass(frozen=True)
class Change:
    """One record of the topic; a value of None deletes the row."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None

    def key_of(self, board: Board) -> Key | None:
        """The key by value: `{"rnk": 1}` and `{"rnk":1}` are one key. None: it identifies no row of the board."""
        found = _object(self.key)
        if found is None or found.keys() != set(board.key_columns):
            return None
        key = tuple(read_value(found[name], board.columns[name].type) for name in board.key_columns)
        return None if any(value is None or isinstance(value, Unreadable) for value in key) else key

    def row(self, board: Board) -> SinkRow:
        """The row in the record; a value that the job cannot have written is an `Unreadable` in its column.

        The key columns come from the record's key: readers of the topic go by it.
        """
        found = _object(self.value)
        key = self.key_of(board)
        row = SinkRow()
        row.record = RecordAt(board.topic, self.partition, self.offset, self.key)
        for name, column in board.columns.items():
            row[name] = _NO_OBJECT if found is None else read_value(found.get(name), column.type)
        for name in (found or {}).keys() - board.columns.keys():
            row[name] = Unreadable(_text(found[name] if found else None))
        for name, value in zip(board.key_columns, key or (None,) * len(board.key_columns), strict=True):
            if found is not None and key is not None and row[name] != value:
                row[f"{name} in the value"] = Unreadable(_text(found.get(name)))
            row[name] = value
        return row


def is_whole(row: Row) -> bool:
    """Whether the job can have written every column's value."""
    return not any(value is None or isinstance(value, Unreadable) for value in row.values())


@dataclass(frozen=True)
class BoardTopic:
    """Where to read."""

    kafka: KafkaConnection
    board: Board
    timeout_seconds: float = 30

    def changes(self) -> Iterator[Change]:
        """Every committed change from the start of the topic to its present end, without compacted ones.

        Raises:
            CouldNotLookError: the end is not reached within the limit.
            ServiceError: Kafka does not answer, or the topic does not exist.
        """
        admin, topic = KafkaAdmin(self.kafka), self.board.topic
        beginnings, ends = admin.beginning_offsets(topic), admin.end_offsets(topic, read_committed=True)
        waiting = {partition: end for partition, end in ends.items() if beginnings.get(partition, 0) < end}
        if not waiting:
            return
        consumer = Consumer(
            self.kafka.options(
                {
                    "group.id": "gamestream-board-reader",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 50,
                }
            )
        )
        try:
            consumer.assign([TopicPartition(topic, partition, beginnings[partition]) for partition in waiting])
            yield from self._read(consumer, waiting)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, waiting: dict[int, int]) -> Iterator[Change]:
        topic, deadline = self.board.topic, time.monotonic() + self.timeout_seconds
        while waiting:
            for message in consumer.consume(10_000, timeout=0.2):
                change = self._change(message)
                partition = message.partition() or 0
                if change is None or change.offset + 1 >= waiting.get(partition, 0):
                    waiting.pop(partition, None)
                if change is not None:
                    yield change
            if waiting and time.monotonic() > deadline:
                raise CouldNotLookError(f"{topic} was not read to its end within the limit", "try again in a moment")

    def _change(self, message: Message) -> Change | None:
        """The record; None at the end of a partition."""
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
                return None
            raise CouldNotLookError(f"{self.board.topic} cannot be read: {error.str()}", "see `gamestream status`")
        key, value = message.key(), message.value()
        return Change(
            message.partition() or 0,
            message.offset() or 0,
            key if isinstance(key, bytes) else None,
            value if isinstance(value, bytes) else None,
        )


_NO_OBJECT = Unreadable("no JSON object")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,3})?(Z|\+00(:?00)?)?")
_BIGINT = range(-(2**63), 2**63)


def _object(data: bytes | None) -> dict[str, Any] | None:
    try:
        found = orjson.loads(data or b"")
    except orjson.JSONDecodeError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def read_value(value: Any, kind: ColumnType) -> Any:
    """A JSON value as the value of a column, by its exact type: a number written as a text is an `Unreadable`."""
    if value is None:
        return None
    match kind:
        case ColumnType.TIMESTAMP:
            millis = milliseconds(value) if isinstance(value, str) else None
            return Unreadable(_text(value)) if millis is None else millis
        case ColumnType.DOUBLE:
            fine = isinstance(value, float) and shown_by_job(value)
        case ColumnType.BIGINT:
            fine = isinstance(value, int) and not isinstance(value, bool) and value in _BIGINT
        case ColumnType.STRING:
            fine = isinstance(value, str)
        case ColumnType.BOOLEAN:
            fine = isinstance(value, bool)
    return value if fine else Unreadable(_text(value))


def shown_by_job(value: float) -> bool:
    """Whether a ratio of sums can be this float: finite, and not negative zero."""
    return isfinite(value) and not (value == 0 and copysign(1, value) < 0)


def milliseconds(text: str) -> int | None:
    """Flink writes `2026-11-21 04:00:05Z` or with a T, in milliseconds at the finest; None for anything else."""
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
