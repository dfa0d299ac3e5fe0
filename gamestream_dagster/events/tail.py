"""The last records of any topic, with their values decoded as far as possible."""

from __future__ import annotations

import heapq
import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
import orjson
from fastavro.schema import SchemaParseException

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.events.avro_reading import grows_without_bytes, is_whole
from gamestream_dagster.events.avro_shape import Shape, shape_of

_HEADER = struct.Struct(">bI")
MOST_BYTES = 256 << 20
_WIDENINGS = 12  # each attempt reads twice as far back: offsets have holes where a topic is compacted or transactional


class TailTooLargeError(GamestreamError):
    """The requested records do not fit into memory; the message says what to do."""


@dataclass(frozen=True)
class TailedRecord:
    """One record as Kafka holds it; `timestamp` in milliseconds since 1970."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class RecordReader:
    """Decodes keys and values: Avro in the registry's wire format, JSON, text, else hexadecimal digits."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._schemas: dict[int, tuple[Any, Shape]] = {}

    def read(self, content: bytes | None) -> Any:
        """The decoded content; None for a tombstone or a record without a key.

        Raises:
            ServiceError: the registry does not answer.
        """
        if content is None:
            return None
        if content[:1] == b"\0" and len(content) > _HEADER.size:
            found = self._avro(content)
            if found is not None:
                return found
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            pass
        try:
            return content.decode()
        except UnicodeDecodeError:
            return f"0x{content.hex()}"

    def _avro(self, content: bytes) -> Any:
        """None when the bytes are not Avro of a registered schema.

        Incomplete or too deeply nested bytes never reach fastavro: the latter overflow the stack of the
        process, and it counts the items of an endless array of nulls.
        """
        number = _HEADER.unpack_from(content)[1]
        try:
            if number not in self._schemas:
                schema = dict(self._registry.schema_by_id(number))
                self._schemas[number] = fastavro.parse_schema(schema), shape_of(schema, {})
            schema, shape = self._schemas[number]
            if grows_without_bytes(shape) or not is_whole(shape, content, _HEADER.size):
                return None
            return fastavro.schemaless_reader(io.BytesIO(content[_HEADER.size :]), schema, None)
        except (NotFoundError, SchemaParseException, EOFError, LookupError, ArithmeticError, ValueError, TypeError):
            return None


def records_between(
    kafka: KafkaConnection, topic: str, start: Mapping[int, int], upto: Mapping[int, int]
) -> Iterator[TailedRecord]:
    """Committed records from `start` up to, not including, `upto`, in bounded chunks.

    Raises:
        TransientServiceError: Kafka does not return them.
    """
    for chunk in read_range(kafka, topic, start, upto):
        raw = chunk.raw
        for offset, timestamp, key, value in zip(raw.offsets, raw.timestamps, raw.keys, raw.values, strict=True):
            yield TailedRecord(chunk.partition, offset, timestamp, key, value)


def last_records(
    kafka: KafkaConnection, topic: str, beginnings: Mapping[int, int], ends: Mapping[int, int], count: int
) -> list[TailedRecord]:
    """The last `count` committed records before `ends`, by timestamp, oldest first. Holds only these in memory.

    Raises:
        TailTooLargeError: together they exceed 256 MiB.
        TransientServiceError: Kafka does not return them.
    """
    if count == 0:
        return []
    back = count
    for _ in range(_WIDENINGS):
        start = {part: max(beginnings.get(part, 0), end - back) for part, end in ends.items()}
        found = _newest(records_between(kafka, topic, start, ends), count)
        whole = all(at <= beginnings.get(part, 0) for part, at in start.items())
        if len(found) >= count or whole:
            break
        back *= 2
    return sorted(found, key=_place)


def _newest(records: Iterable[TailedRecord], count: int) -> list[TailedRecord]:
    kept: list[tuple[tuple[int, int, int], TailedRecord]] = []
    held = 0
    for record in records:
        heapq.heappush(kept, (_place(record), record))
        held += _size(record)
        if len(kept) > count:
            held -= _size(heapq.heappop(kept)[1])
        if held > MOST_BYTES:
            raise TailTooLargeError(f"The last {count:,} records hold more than 256 MiB; ask for fewer with -n.")
    return [record for _, record in kept]


def _size(record: TailedRecord) -> int:
    return len(record.key or b"") + len(record.value or b"")


def _place(record: TailedRecord) -> tuple[int, int, int]:
    return record.timestamp, record.partition, record.offset
