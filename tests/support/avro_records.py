"""Records of every shape that an Avro producer may send, for Flink and Python alike: what becomes of each."""

from __future__ import annotations

import io
import json
import struct
import uuid
from dataclasses import dataclass
from typing import Any

import fastavro
import httpx

FIELDS: dict[str, Any] = {
    "user_id": "string",
    "team_id": "string",
    "team_name": "string",
    "score": "int",
    "event_time_millis": "long",
}
EVENT_ID = uuid.UUID("0af7651916cd43dd8448eb211c80319c")


def schema_with(**types: Any) -> dict[str, Any]:
    """A record of the required fields, some of other types (None: left out), in the order given."""
    fields = {name: kind for name, kind in (FIELDS | types).items() if kind is not None}
    return {"type": "record", "name": "S", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


def encoded(schema: dict[str, Any], named: list[Any], record: dict[str, Any]) -> bytes:
    """The record without its header."""
    known: dict[str, Any] = {}
    for one in named:
        fastavro.parse_schema(one, known)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema, known), record)
    return buffer.getvalue()


def framed(schema_id: int, body: bytes) -> bytes:
    """The record in the wire format."""
    return struct.pack(">bI", 0, schema_id) + body


@dataclass(frozen=True)
class Variant:
    """A schema and a value of it that holds the event of `user`; `reason` None: it counts."""

    name: str
    schema: Any
    changes: dict[str, Any]
    reason: str | None = None
    event_id: str | None = None
    text: str | None = None


LINKED = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
FIXED_UUID = {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"}
KIND = {"type": "enum", "name": "Kind", "symbols": ["late", "normal"]}


def variants(now: int) -> list[Variant]:
    """By the time of the events, milliseconds. Values are raw: logical types are not converted by the writer."""
    return [
        Variant("only the required fields", schema_with(), {}),
        Variant("long score", schema_with(score="long"), {}),
        Variant("millis", schema_with(event_time_millis=MILLIS), {}),
        Variant("micros", schema_with(event_time_millis=MICROS), {"event_time_millis": now * 1000}),
        Variant(
            "nanos",
            schema_with(event_time_millis={"type": "long", "logicalType": "timestamp-nanos"}),
            {"event_time_millis": now * 1_000_000},
        ),
        Variant("null first", schema_with(team_name=["null", "string"]), {}),
        Variant("null last", schema_with(team_name=["string", "null"], score=["int", "null"]), {}),
        Variant("null team", schema_with(team_name=["null", "string"]), {"team_name": None}, "MISSING_FIELD"),
        Variant("no team name", schema_with(team_name=None), {}, "MISSING_FIELD"),
        Variant("bytes id", schema_with(user_id="bytes"), {"user_id": b"bytes id"}),
        Variant("long id", schema_with(team_id="long"), {"team_id": 12345678901}),
        Variant("text score", schema_with(score="string"), {"score": "7"}),
        Variant("text fraction", schema_with(score="string"), {"score": "7.5"}, "WRONG_TYPE"),
        Variant("double score", schema_with(score="double"), {"score": 7.0}, "WRONG_TYPE"),
        Variant("double time", schema_with(event_time_millis="double"), {"event_time_millis": 1.0}, "MISSING_FIELD"),
        Variant("text time", schema_with(event_time_millis="string"), {"event_time_millis": str(now)}),
        Variant(
            "uuid text",
            schema_with(event_id={"type": "string", "logicalType": "uuid"}),
            {"event_id": "A-b"},
            None,
            "A-b",
        ),
        Variant("uuid fixed", schema_with(event_id=FIXED_UUID), {"event_id": EVENT_ID.bytes}, None, str(EVENT_ID)),
        Variant("empty id", schema_with(event_id="string"), {"event_id": ""}),
        Variant("enum", schema_with(event_type=KIND), {"event_type": "late"}),
        Variant("unknown fields", schema_with(tags={"type": "array", "items": "string"}, linked=LINKED),
                {"tags": ["a", "b"], "linked": {"next": {"next": None}}}),
        Variant("map and fixed",
                schema_with(m={"type": "map", "values": "double"}, f={"type": "fixed", "name": "F", "size": 3}),
                {"m": {"x": 1.5}, "f": b"abc"}),
        Variant("micros union", schema_with(event_time_millis=["null", MICROS]), {"event_time_millis": now * 1000}),
        Variant("top union", ["null", schema_with()], {}),
        Variant("array", {"type": "array", "items": "int"}, {}, "NOT_AVRO"),
    ]  # fmt: skip


def body_of(variant: Variant, now: int) -> bytes:
    """The record's bytes after the header."""
    if variant.name == "array":
        return b"\x00"
    record = {"user_id": variant.name, "team_id": "t1", "team_name": "T", "score": 7, "event_time_millis": now}
    stripped = json.loads(json.dumps(variant.schema).replace('"logicalType"', '"unused"'))
    return encoded(stripped, [], record | variant.changes)


def register(url: str, subject: str, schema: object, kind: str = "AVRO", references: object = ()) -> int:
    """Register a schema of any kind; returns its number."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    body = {"schema": text, "schemaType": kind, "references": list(references)}  # type: ignore[call-overload]
    answer = httpx.post(f"{url}/subjects/{subject}/versions", json=body, trust_env=False, timeout=60)
    answer.raise_for_status()
    return int(answer.json()["id"])
