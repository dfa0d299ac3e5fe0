"""Records of a topic up to given offsets, directly from Kafka: assigned by partition, no consumer group.

Offsets have holes (a transaction writes a marker after its records), so the end of a read is the position
that Kafka reports at a partition's end, never a count of offsets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.connections import KafkaConnection

BATCH_RECORDS = 10_000


Headers = Mapping[str, bytes | None]
"""A record's headers, the last one of each name."""

_Taken = tuple[dict[int, "Raw"], dict[int, int]]


@dataclass
class Raw:
    """Records of one partition in Kafka's order, column by column."""

    offsets: list[int] = field(default_factory=list[int])
    timestamps: list[int] = field(default_factory=list[int])
    keys: list[bytes | None] = field(default_factory=list["bytes | None"])
    values: list[bytes | None] = field(default_factory=list["bytes | None"])
    headers: list[Headers] = field(default_factory=list["Headers"])
    """Empty unless they were asked for."""

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True)
class Chunk:
    """Consecutive records of one partition, and the reader's position after them."""

    partition: int
    raw: Raw
    next_offset: int


def read_range(
    kafka: KafkaConnection,
    topic: str,
    start: Mapping[int, int],
    upto: Mapping[int, int],
    *,
    stall_seconds: float = 30,
    batch_records: int = BATCH_RECORDS,
    with_headers: bool = False,
) -> Iterator[Chunk]:
    """Committed records from `start` up to, not including, `upto`, in bounded chunks.

    Args:
        kafka: where Kafka is.
        topic: name.
        start: next offset to read, by partition; missing partitions start at 0.
        upto: where to stop, by partition.
        stall_seconds: limit without any progress.
        batch_records: maximum records per chunk.
        with_headers: read the headers as well, which takes longer.

    Raises:
        TransientServiceError: Kafka did not return the records (no answer, or a transaction stays open).
    """
    open_parts = {partition: end for partition, end in upto.items() if start.get(partition, 0) < end}
    if not open_parts:
        return
    consumer = Consumer(
        kafka.options(
            {
                "group.id": "gamestream-archive",  # the client requires it; nothing is committed, no group is joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 4 << 20,
                "queued.max.messages.kbytes": 32 << 10,
            }
        )
    )
    try:
        consumer.assign([TopicPartition(topic, partition, start.get(partition, 0)) for partition in open_parts])
        take = partial(_by_partition, topic=topic, open_parts=open_parts, with_headers=with_headers)
        yield from _read(consumer, topic, open_parts, stall_seconds, lambda: take(consumer.consume(batch_records, 0.2)))
    finally:
        consumer.close()


def _read(
    consumer: Consumer, topic: str, open_parts: dict[int, int], stall_seconds: float, take: Callable[[], _Taken]
) -> Iterator[Chunk]:
    deadline = time.monotonic() + stall_seconds
    while open_parts:
        chunks, reached = take()
        for partition in chunks.keys() | reached.keys():
            raw = chunks.get(partition, Raw())
            after = raw.offsets[-1] + 1 if raw.offsets else 0
            at = min(max(after, reached.get(partition, 0)), open_parts[partition])
            if len(raw) or at >= open_parts[partition]:
                deadline = time.monotonic() + stall_seconds
                yield Chunk(partition, raw, at)
            if at >= open_parts[partition]:
                del open_parts[partition]
                _pause(consumer, topic, partition)
        if time.monotonic() > deadline:
            waiting = ", ".join(f"p{partition} before {end}" for partition, end in sorted(open_parts.items()))
            raise TransientServiceError(
                "Kafka",
                f"it handed out nothing of {topic} for {stall_seconds:.0f} s ({waiting})",
                "see whether a producer holds a transaction open and whether the broker answers, then try again",
            )


def _by_partition(messages: list[Message], *, topic: str, open_parts: Mapping[int, int], with_headers: bool) -> _Taken:
    """The records of each partition, and the positions that are beyond a record."""
    chunks: dict[int, Raw] = {}
    reached: dict[int, int] = {}
    for message in messages:
        partition, offset = message.partition() or 0, message.offset() or 0
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
            raise TransientServiceError(
                "Kafka",
                f"it does not hand out {topic} p{partition} ({error.str()})",
                "see `gamestream status`, then try again",
            )
        end = open_parts.get(partition)
        if end is None:
            continue  # returned before its partition was released
        if error is not None:
            reached[partition] = offset
        elif offset >= end:
            reached[partition] = end
        else:
            raw = chunks.get(partition)
            if raw is None:
                raw = chunks[partition] = Raw()
            raw.offsets.append(offset)
            raw.timestamps.append(message.timestamp()[1])
            raw.keys.append(_bytes(message.key()))
            raw.values.append(_bytes(message.value()))
            if with_headers:
                raw.headers.append(_headers(message))
    return chunks, reached


def _headers(message: Message) -> Headers:
    try:
        found = _read_headers(message) or []
    except (SystemError, UnicodeDecodeError):
        return {}  # a name is no UTF-8: none of ours
    return {name: _bytes(value) for name, value in (found.items() if isinstance(found, dict) else found)}


# For a name that is no UTF-8 the client returns a tuple with a null pointer and leaves an error behind. In code that
# CPython has specialised, `message.headers()` does not look for that error, and the process ends with a segmentation
# fault when the tuple is read. A call through `methodcaller` always looks, and raises SystemError.
_read_headers: Callable[[Message], Any] = methodcaller("headers")


def _bytes(value: object) -> bytes | None:
    """The client's return type without a deserializer; its type hints allow text too."""
    return value if isinstance(value, bytes) else None


def _pause(consumer: Consumer, topic: str, partition: int) -> None:
    try:
        consumer.incremental_unassign([TopicPartition(topic, partition)])
    except KafkaException as error:
        raise TransientServiceError(
            "Kafka", f"it refused to stop reading {topic} p{partition} ({error})", "try again"
        ) from error
