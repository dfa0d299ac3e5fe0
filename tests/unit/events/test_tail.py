"""The end of a topic: holes, several partitions, and every kind of content."""

from __future__ import annotations

import io
import struct
from typing import Any

import fastavro
import pytest

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.events import tail
from gamestream_dagster.events.tail import RecordReader, last_records

SCHEMA = {"type": "record", "name": "S", "fields": [{"name": "user_id", "type": "string"}]}


class FakeRegistry:
    def schema_by_id(self, number: int) -> Any:
        if number != 7:
            raise NotFoundError("Registry", "no such schema", "register it")
        return SCHEMA


def avro(number: int) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), {"user_id": "ada"})
    return struct.pack(">bI", 0, number) + body.getvalue()


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (None, None),
        (b'{"a": 1}', {"a": 1}),
        (b"", ""),
        (b"plain [/red] text", "plain [/red] text"),
        (b"\xff\xfe", "0xfffe"),
        (avro(7), {"user_id": "ada"}),
        (struct.pack(">bI", 0, 7) + b"\xff", "0x0000000007ff"),
    ],
)
def test_content_is_decoded_as_far_as_it_can_be(content: bytes | None, read: Any) -> None:
    assert RecordReader(FakeRegistry()).read(content) == read


def test_avro_of_an_unknown_schema_is_shown_as_it_is() -> None:
    assert RecordReader(FakeRegistry()).read(avro(8)) == avro(8).decode()


NESTED = ["null", "A"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(NESTED, b"\x02" * 100_000 + b"\0", id="overflows the stack"),
        pytest.param({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\x07\0", id="never ends"),
        pytest.param({"type": "array", "items": "null"}, b"\x02\0", id="may never end"),
        pytest.param(
            {"type": "long", "logicalType": "timestamp-millis"}, b"\xfe" + b"\xff" * 8 + b"\x01", id="no date"
        ),
        pytest.param("other.Thing", b"\x02", id="unknown type"),
        pytest.param({"type": "record"}, b"", id="no schema"),
    ],
)
def test_avro_that_cannot_be_decoded_is_shown_as_its_bytes(kind: Any, body: bytes) -> None:
    class Registered:
        def schema_by_id(self, _: int) -> Any:
            return {"type": "record", "name": "A", "fields": [{"name": "a", "type": kind}]}

    content = struct.pack(">bI", 0, 0xFF) + body
    assert RecordReader(Registered()).read(content) == f"0x{content.hex()}"


@pytest.mark.parametrize("count", [0, 1, 3, 5, 100])
def test_the_last_records_are_found_behind_holes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {0: {0: 10, 1: 11, 60: 12, 99: 13}, 1: {5: 20}, 2: {}}  # offset -> timestamp

    def read_range(_: str, __: str, start: dict[int, int], upto: dict[int, int]) -> Any:
        for partition, end in upto.items():
            raw = Raw()
            for offset, timestamp in held[partition].items():
                if start[partition] <= offset < end:
                    raw.offsets.append(offset)
                    raw.timestamps.append(timestamp)
                    raw.keys.append(None)
                    raw.values.append(b"v")
            yield Chunk(partition, raw, end)

    monkeypatch.setattr(tail, "read_range", read_range)
    found = last_records("k", "t", {0: 0, 1: 0, 2: 3}, {0: 100, 1: 6, 2: 3}, count)
    assert [record.timestamp for record in found] == [10, 11, 12, 13, 20][max(0, 5 - count) :][: count or 0]


def test_a_tail_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [tail.TailedRecord(0, at, at, None, b"x" * 10) for at in range(10)]
    monkeypatch.setattr(tail, "MOST_BYTES", 45)
    assert [record.offset for record in sorted(tail._newest(records, 3), key=tail._place)] == [7, 8, 9]
    with pytest.raises(tail.TailTooLargeError, match="ask for fewer"):
        tail._newest(records, 5)
