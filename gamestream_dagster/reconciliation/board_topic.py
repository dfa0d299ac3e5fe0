"""The Kafka topic of a board: every committed change of every row, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model import Row


@dataclass(frozen=True)
class Change:
    """One record of the topic; a value of None deletes the row."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None

    def row(self, board: Board) -> Row:
        """The row that is written.

        Raises:
            CouldNotLookError: the record is no row of the board.
        """
        try:
            found: dict[str, Any] = orjson.loads(self.value or b"")
            return {name: _value(found.get(name), column.type) for name, column in board.columns.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise CouldNotLookError(
                f"{board.topic} holds a record that is no row of {board.name} (key {self.key[:60]!r}: {error})",
                "only the job may write to a board's topic",
            ) from error


@dataclass(frozen=True)
class BoardTopic:
    """Where to read."""

    bootstrap: str
    board: Board
    timeout_seconds: float = 30

    def changes(self) -> Iterator[Change]:
        """Every committed change from the start of the topic to its end now; what was compacted away is gone.

        Raises:
            CouldNotLookError: the end is not reached within the limit, or a record has no key.
            ServiceError: Kafka gives no answer, or there is no such topic.
        """
        admin, topic = KafkaAdmin(self.bootstrap), self.board.topic
        beginnings, ends = admin.beginning_offsets(topic), admin.end_offsets(topic, read_committed=True)
        waiting = {partition: end for partition, end in ends.items() if beginnings.get(partition, 0) < end}
        if not waiting:
            return
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
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
        if not isinstance(key, bytes):
            raise CouldNotLookError(
                f"{self.board.topic} holds a record without a key", "only the job may write to a board's topic"
            )
        return Change(message.partition() or 0, message.offset() or 0, key, value if isinstance(value, bytes) else None)


def _value(value: Any, kind: ColumnType) -> Any:
    if value is None:
        return None
    match kind:
        case ColumnType.TIMESTAMP:
            return milliseconds(value)
        case ColumnType.DOUBLE:
            return float(value)
        case ColumnType.BIGINT:
            return int(value)
        case ColumnType.STRING:
            return str(value)


def milliseconds(value: Any) -> int:
    """Flink writes `2026-11-21 04:00:05Z` or with a T; a number is milliseconds already."""
    if isinstance(value, int):
        return value
    at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
