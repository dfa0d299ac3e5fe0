"""The Flink format and the archive read every Avro record alike: both run over generated schemas and spoilt records.

No server: the format's own classes run in a JVM.
"""

from __future__ import annotations

import io
import json
import random
import subprocess
import time
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_one

from gamestream_dagster.events.acceptance import FIELD_NAMES
from gamestream_dagster.events.avro_reading import NotAvroError, Unreadable, record_reader
from gamestream_dagster.events.avro_shape import UnusableSchemaError, shape_of
from tests.support.avro_records import body_of, variants
from tests.support.java_probe import compiled

NUMBERS = ("score", "event_time_millis")
TEXTS = tuple(name for name in FIELD_NAMES if name not in NUMBERS)
LOGICAL = ("timestamp-micros", "timestamp-millis", "local-timestamp-nanos")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that reads records in Java."""
    return compiled(tmp_path_factory.mktemp("probe"), "AvroProbe")["AvroProbe"]


def in_java(probe: list[str], records: list[tuple[Any, bytes]]) -> list[str]:
    lines = "".join(f"{json.dumps(schema).encode().hex()}\t{record.hex()}\n" for schema, record in records)
    return subprocess.run(probe, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()


def in_python(schema: Any, record: bytes) -> str:
    try:
        fields = record_reader(shape_of(schema, {}), TEXTS, NUMBERS)(record, 0)
    except UnusableSchemaError:
        return "unusable"
    except NotAvroError:
        return "not avro"
    return " ".join(_told(fields.get(name), number=name in NUMBERS) for name in FIELD_NAMES)


def _told(value: object, *, number: bool) -> str:
    if value is None or isinstance(value, Unreadable) or (number and not isinstance(value, int)):
        return "null"
    return str(value) if number else "t" + str(value).encode().hex()


def spoilt(chance: random.Random, record: bytes) -> bytes:
    """A record with a few bytes changed, cut, or added."""
    spoilt = bytearray(record)
    for _ in range(chance.randint(0, 3)):
        match chance.randrange(4):
            case 0 if spoilt:
                spoilt[chance.randrange(len(spoilt))] = chance.choice(
                    [0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256)]
                )
            case 1:
                del spoilt[chance.randint(0, len(spoilt)) :]
            case 2:
                at = chance.randint(0, len(spoilt))
                spoilt[at:at] = chance.randbytes(chance.randint(1, 12))
            case _:
                spoilt += chance.choice([b"\x80" * 11, b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\0"])
    return bytes(spoilt)


def generated(chance: random.Random, number: int) -> tuple[Any, bytes]:
    """A schema with our fields of any type, and a record of it."""
    kinds: list[Any] = [
        "null", "boolean", "int", "long", "float", "double", "bytes", "string",
        {"type": "long", "logicalType": chance.choice(LOGICAL)},
        {"type": "bytes", "logicalType": "decimal", "precision": 4}, {"type": "array", "items": ["null", "string"]},
        {"type": "map", "values": "long"}, ["null", "string"], ["int", "null", "string"],
    ]  # fmt: skip
    fields: list[dict[str, Any]] = []
    for place, name in enumerate([*FIELD_NAMES, "other"]):
        if chance.random() < 0.1:
            continue
        named = [
            {"type": "enum", "name": f"E{place}", "symbols": ["A", "B"]},
            {"type": "fixed", "name": f"F{place}", "size": 16, "logicalType": chance.choice(["uuid", "other"])},
            {"type": "record", "name": f"R{place}", "fields": [{"name": "next", "type": ["null", f"R{place}"]}]},
        ]
        usual = "long" if name in NUMBERS else "string"
        fields.append({"name": name, "type": usual if chance.random() < 0.5 else chance.choice(kinds + named)})
    schema = {"type": "record", "name": f"S{number}", "namespace": "a.b", "fields": fields}
    plain = json.loads(json.dumps(schema).replace('"logicalType"', '"unused"'))
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(plain, {}), generate_one(plain))
    return schema, buffer.getvalue()


def test_flink_and_the_archive_read_alike(probe: list[str]):
    now, chance = int(time.time() * 1000), random.Random(4)
    records = [(one.schema, body_of(one, now)) for one in variants(now)]
    records += [generated(chance, number) for number in range(300)]
    records += [(schema, spoilt(chance, record)) for schema, record in records * 20]
    found = in_java(probe, records)
    told = [in_python(schema, record) for schema, record in records]
    unlike = [
        (schema, record, java_row, row)
        for (schema, record), java_row, row in zip(records, found, told, strict=True)
        if java_row != row
    ]
    assert not unlike, unlike[:3]
    assert 1000 < sum(row == "not avro" for row in told) < len(told) - 1000


def test_schemas_that_are_none_are_refused_alike(probe: list[str]):
    deep: Any = "int"
    for _ in range(80):
        deep = {"type": "array", "items": deep}
    schemas: list[Any] = [
        deep, {}, [], None, 7, "nothing", {"type": "record"}, {"type": "record", "name": "A"},
        {"type": "enum", "name": "A"},
        {"type": "fixed", "name": "F"}, {"type": "fixed", "name": "F", "size": -1}, {"type": "array"},
        {"type": "record", "name": "A", "fields": [{"name": "a", "type": "A"}]}, {"type": "record", "fields": []},
        {"type": "record", "name": "A", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]},
        {"type": "record", "name": "A", "fields": [{"name": "a"}]}, {"type": "object"}, ["null", "null"],
    ]  # fmt: skip
    records = [
        (schema, record) for schema in schemas for record in (b"", b"\0", b"\xfe\xff\xff\xff\x0f" * 3, b"\2\4\0")
    ]
    assert in_java(probe, records) == [in_python(*one) for one in records]


def test_many_parts_in_few_bytes_take_no_time(probe: list[str]):
    nulls = {"type": "array", "items": {"type": "array", "items": "null"}}
    schema = {"type": "record", "name": "A", "fields": [{"name": "n", "type": nulls}, {"name": "b", "type": "bytes"}]}
    blocks = 100_000  # each says that it holds 100,000 nulls
    record = varint(blocks) + (varint(100_000) + varint(0)) * blocks + varint(0) + varint(blocks) + bytes(blocks)
    double: Any = {"type": "record", "name": "R0", "fields": [{"name": "n", "type": "null"}]}
    for depth in range(1, 60):
        fields = [{"name": "a", "type": double}, {"name": "b", "type": f"R{depth - 1}"}]
        double = {"type": "record", "name": f"R{depth}", "fields": fields}
    records = [(schema, record), ({"type": "record", "name": "A", "fields": [{"name": "d", "type": double}]}, b"")]
    nothing = " ".join(["null"] * len(FIELD_NAMES))
    assert in_java(probe, records) == [in_python(*one) for one in records] == [nothing, nothing]


def varint(number: int) -> bytes:
    """A whole number as Avro writes it, 0 or above."""
    found, number = b"", number << 1
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])
