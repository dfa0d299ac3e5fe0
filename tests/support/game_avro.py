"""Game events in Avro: of the catalogue's schemas, of foreign ones, spoilt, and hostile."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from fastavro.utils import generate_one

from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.catalogue.game_schemas import avro_schema, foreign_schemas
from tests.support.avro_records import encoded, framed
from tests.support.game_event_cases import NOW
from tests.support.schema_server import Schemas

TIME = NOW - 1000


def record_of(name: str, **types: Any) -> dict[str, Any]:
    """Schema of a record."""
    fields = [{"name": field, "type": kind} for field, kind in types.items()]
    return {"type": "record", "namespace": "io.confluent.developer.avro", "name": name, "fields": fields}


# As the demo that inspired them has them: other names, no time in one of them, and no id.
(SEED_HEALTH,), (SEED_POSITION,) = (foreign_schemas()[name] for name in ("player_health", "player_position"))


def with_fields(schema: dict[str, Any], **types: Any) -> dict[str, Any]:
    """The schema with more fields."""
    more = [{"name": name, "type": kind} for name, kind in types.items()]
    return {**schema, "fields": [*schema["fields"], *more]}


def own(name: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Schema and raw record of a type of the catalogue; decimals and times as their numbers."""
    schema = avro_schema(load_game_events().types[name])
    properties = fields.pop("properties", {})
    record = {"event_id": "e1", "user_id": "u1", "event_type": name, "event_time": TIME, **fields}
    return schema, {"environment": "production", **record, "properties": properties}


def raw(schema: Any) -> Any:
    """The schema without logical types: values are written as they are."""
    if isinstance(schema, list):
        return [raw(one) for one in schema]
    if isinstance(schema, dict):
        return {name: raw(one) for name, one in schema.items() if name not in {"logicalType", "scale", "precision"}}
    return schema


@dataclass(frozen=True)
class Case:
    """A record: its schema (None: the number stands alone), its bytes, and what becomes of it."""

    name: str
    schema: Any
    body: bytes
    reason: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Of the accepted event."""

    def value(self, schemas: Schemas) -> bytes:
        """The record in the wire format; its schema is registered."""
        return framed(schemas.add(self.schema), self.body)


def case(name: str, schema: Any, record: dict[str, Any], reason: str | None = None, **fields: Any) -> Case:
    return Case(name, schema, encoded(raw(schema), [], record), reason, fields)


SCORE = {"team_id": "t1", "team_name": "Lions", "score": 7}
IDS = {"id": "string", "player_id": "string", "timestamp": "long"}
FLAT = record_of("score", **IDS, team_id="string", team_name="string", score="long")
FLAT_RECORD = {"id": "e1", "player_id": "u1", "timestamp": TIME, **SCORE}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 16, "scale": 2}
UUID = {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"}


def retyped(**types: Any) -> dict[str, Any]:
    """The flat schema with other types."""
    return {**FLAT, "fields": [{**one, "type": types.get(one["name"], one["type"])} for one in FLAT["fields"]]}


def purchase(price: bytes, kind: Any = DECIMAL) -> tuple[dict[str, Any], dict[str, Any]]:
    schema = record_of("Purchase", **IDS, item="string", price=kind, currency="string")
    record = {"id": "e1", "player_id": "u1", "timestamp": TIME, "item": "sword", "price": price, "currency": "EUR"}
    return schema, record


def nested(depth: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A flat score with arrays inside each other."""
    kind: Any = "int"
    value: Any = 1
    for _ in range(depth):
        kind, value = {"type": "array", "items": kind}, [value]
    return with_fields(FLAT, more=kind), {**FLAT_RECORD, "more": value}


def lacking() -> list[Case]:
    """Records without an id, or without a time."""
    health = {"player_id": "u1", "health": 1, "timestamp": TIME}
    position = {"player_id": "u1", "x": 1.5, "y": -0.25}
    health_id, position_id = (
        "avro-" + sha256(name + encoded(schema, [], record)).hexdigest()[:32]
        for name, schema, record in (
            (b"player_health\0", SEED_HEALTH, health),
            (b"player_position\0", SEED_POSITION, position),
        )
    )
    named = with_fields(SEED_POSITION, event_id=["null", "string"])
    timed = with_fields(SEED_POSITION, timestamp=["null", "long"])
    unnamed = {**FLAT, "fields": [one for one in FLAT["fields"] if one["name"] != "id"]}
    untimed = {**FLAT, "fields": [one for one in FLAT["fields"] if one["name"] != "timestamp"]}
    return [
        case(
            "seed: health as it is",
            SEED_HEALTH,
            health,
            event_type="player_health",
            user_id="u1",
            event_id=health_id,
            event_time_millis=TIME,
            late=False,
        ),
        case(
            "seed: position as it is",
            SEED_POSITION,
            position,
            event_type="player_position",
            user_id="u1",
            event_id=f"{position_id}-{NOW}",
            event_time_millis=NOW,
            late=False,
        ),
        case("seed: health out of range", SEED_HEALTH, {**health, "health": -1}, "OUT_OF_RANGE"),
        case("seed: health of long ago", SEED_HEALTH, {**health, "timestamp": 1_660_857_600_000}, "TOO_OLD"),
        case("seed: health in seconds", SEED_HEALTH, {**health, "timestamp": TIME // 1000}, "BAD_TIMESTAMP"),
        case("seed: position without a player", SEED_POSITION, {**position, "player_id": ""}, "MISSING_FIELD"),
        case("seed: position that is NaN", SEED_POSITION, {**position, "x": float("nan")}, "NOT_AVRO"),
        case("a position with an id, without a time", named, {**position, "event_id": "e1"}, event_id="e1",
             event_time_millis=NOW),
        case("a position with a null id", named, {**position, "event_id": None}, event_time_millis=NOW),
        case("a position with a time, without an id", timed, {**position, "timestamp": TIME}, event_time_millis=TIME),
        case("a position with a null time", timed, {**position, "timestamp": None}, event_time_millis=NOW),
        case("a late position", timed, {**position, "timestamp": TIME - 900_000}, late=True),
        case("a score without an id", unnamed, FLAT_RECORD, "MISSING_FIELD"),
        case("a score without a time", untimed, FLAT_RECORD, "MISSING_FIELD"),
    ]  # fmt: skip


def cases() -> list[Case]:
    """What a producer may send, and what becomes of it at `NOW`."""
    health = with_fields(SEED_HEALTH, event_id="string")
    position = with_fields(
        SEED_POSITION, event_id="string", timestamp={"type": "long", "logicalType": "timestamp-micros"}
    )
    ids = {"event_id": "e1", "player_id": "u1"}
    plain = {
        "event_id": "e1",
        "user_id": "u1",
        "event_type": "score",
        "properties": '{"score":7,"team_id":"t1","team_name":"Lions"}',
    }
    flat_body = encoded(FLAT, [], FLAT_RECORD)
    number = {"type": "record", "name": "Number", "fields": [{"name": "n", "type": ["null", "double"]}]}
    return [
        case("the catalogue's score", *own("score", properties=SCORE), **plain, event_time_millis=TIME),
        case("a flat score of another producer", FLAT, FLAT_RECORD, **plain),
        case(
            "seed: health with an id",
            health,
            {**ids, "health": 96, "timestamp": TIME},
            event_type="player_health",
            user_id="u1",
            properties='{"health":96}',
        ),
        case(
            "seed: position with an id and a time",
            position,
            {**ids, "x": 1.5, "y": -0.25, "timestamp": TIME * 1000},
            event_type="player_position",
            properties='{"x":1.5,"y":-0.25}',
            event_time_millis=TIME,
        ),
        *lacking(),
        case("a type of its own name", {**FLAT, "name": "Score_"}, FLAT_RECORD, **plain),
        case("a type that is unknown", {**FLAT, "name": "PlayerJump"}, FLAT_RECORD, "UNKNOWN_EVENT_TYPE"),
        case(
            "a code as a number",
            with_fields({**FLAT, "name": "X"}, event_type="int", level_id="int"),
            {**FLAT_RECORD, "event_type": 1001, "level_id": 3},
            event_type="level_start",
        ),
        case("an empty event_type", with_fields(FLAT, event_type="string"), {**FLAT_RECORD, "event_type": ""}, **plain),
        case(
            "a decimal",
            *purchase(b"\x01\xf3"),
            event_type="item_purchase",
            properties='{"currency":"EUR","item":"sword","price":"4.99"}',
        ),
        case("a decimal of no bytes", *purchase(b""), properties='{"currency":"EUR","item":"sword","price":"0"}'),
        case("a negative decimal", *purchase(b"\xff"), reason="OUT_OF_RANGE"),
        case(
            "a price as a text",
            *purchase("4.990", "string"),
            properties='{"currency":"EUR","item":"sword","price":"4.99"}',
        ),  # type: ignore[arg-type]
        case("a decimal too long", *purchase(b"\x01" * 40), reason="NOT_AVRO"),
        case("a decimal without a scale", *purchase(b"\x04", {**DECIMAL, "scale": -1}), reason="NOT_AVRO"),
        case("a decimal with a huge scale", *purchase(b"\x04", {**DECIMAL, "scale": 1000}), reason="NOT_AVRO"),
        case(
            "nulls are absent",
            with_fields(FLAT, platform=["null", "string"]),
            {**FLAT_RECORD, "platform": None},
            **plain,
        ),
        case(
            "a null that is required",
            retyped(team_id=["null", "string"]),
            {**FLAT_RECORD, "team_id": None},
            "MISSING_FIELD",
        ),
        case(
            "an enum",
            with_fields(FLAT, platform={"type": "enum", "name": "P", "symbols": ["ios", "web"]}),
            {**FLAT_RECORD, "platform": "web"},
            platform="web",
        ),
        case(
            "a UUID",
            retyped(id=UUID),
            {**FLAT_RECORD, "id": bytes(range(16))},
            event_id="00010203-0405-0607-0809-0a0b0c0d0e0f",
        ),
        case("bytes as text", retyped(id="bytes"), {**FLAT_RECORD, "id": "ë1".encode()}, event_id="ë1"),
        case("bytes that are none", retyped(id="bytes"), {**FLAT_RECORD, "id": b"\xff"}, "NOT_UTF8"),
        case("a score as a double", retyped(score="double"), {**FLAT_RECORD, "score": 7.0}, "WRONG_TYPE"),
        case("a score as a text", retyped(score="string"), {**FLAT_RECORD, "score": "7"}, "WRONG_TYPE"),
        case("a score out of range", retyped(), {**FLAT_RECORD, "score": -1}, "OUT_OF_RANGE"),
        case("epoch seconds", retyped(), {**FLAT_RECORD, "timestamp": TIME // 1000}, "BAD_TIMESTAMP"),
        case(
            "nanoseconds",
            retyped(timestamp={"type": "long", "logicalType": "timestamp-nanos"}),
            {**FLAT_RECORD, "timestamp": TIME * 1_000_000},
            event_time_millis=TIME,
        ),
        case(
            "a time as a text",
            retyped(timestamp="string"),
            {**FLAT_RECORD, "timestamp": "2023-11-14T22:13:19Z"},
            event_time_millis=TIME,
        ),
        case("from the future", retyped(), {**FLAT_RECORD, "timestamp": NOW + 3_700_000}, "FUTURE_TIMESTAMP"),
        case("a NUL", retyped(), {**FLAT_RECORD, "team_name": "a\0b"}, "BAD_TEXT"),
        case(
            "an unknown map",
            with_fields(FLAT, tags={"type": "map", "values": ["null", "boolean"]}),
            {**FLAT_RECORD, "tags": {"b": True, "a": None}},
            remark="UNKNOWN_FIELD",
            properties='{"score":7,"tags":{"a":null,"b":true},"team_id":"t1","team_name":"Lions"}',
        ),
        case(
            "numbers of all kinds",
            with_fields(FLAT, a="float", b="double", c="int", d=DECIMAL),
            {**FLAT_RECORD, "a": 0.1, "b": 0.1, "c": -5, "d": b"\x00\xc8"},
            properties='{"a":0.1,"b":0.1,"c":-5,"d":2,"score":7,"team_id":"t1","team_name":"Lions"}',
        ),
        case("NaN", with_fields(FLAT, a="double"), {**FLAT_RECORD, "a": float("nan")}, "NOT_AVRO"),
        case("infinity", with_fields(FLAT, a="float"), {**FLAT_RECORD, "a": float("-inf")}, "NOT_AVRO"),
        case("the least double", with_fields(FLAT, a="double"), {**FLAT_RECORD, "a": 5e-324}, "NOT_AVRO"),
        case("nested as deep as JSON", *nested(31), remark="UNKNOWN_FIELD"),
        case("nested deeper", *nested(32), reason="NOT_AVRO"),
        case("more than 32 KiB", retyped(), {**FLAT_RECORD, "team_name": "x" * 40_000}, "TOO_LARGE"),
        Case("cut short", FLAT, flat_body[:-1], "NOT_AVRO"),
        Case("bytes after it", FLAT, flat_body + b"\0", "NOT_AVRO"),
        Case("nothing", FLAT, b"", "NOT_AVRO"),
        Case("no record", "string", b"\x02a", "NOT_AVRO"),
        Case("no schema", "{", flat_body, "NOT_AVRO"),
        Case("a union of two records", [number, FLAT], b"\x02" + flat_body, fields=plain),
        Case("a branch that is not there", [number, FLAT], b"\x04" + flat_body, "NOT_AVRO"),
        Case("a branch that is no record", ["null", FLAT], b"\0", "NOT_AVRO"),
    ]


def generated(chance: random.Random, number: int) -> tuple[Any, bytes]:
    """A flat event with types that a producer would not choose, and a random record of it."""
    kinds = [
        "string", "int", "long", "double", "float", "bytes", "boolean", "null", ["null", "string"], ["int", "string"],
        DECIMAL, {"type": "long", "logicalType": chance.choice(["timestamp-micros", "timestamp-nanos", "date", ""])},
        {"type": "array", "items": ["null", "double"]}, {"type": "map", "values": "long"},
        {"type": "fixed", "name": f"F{number}", "size": 16, "logicalType": chance.choice(["uuid", "decimal", ""])},
        {"type": "record", "name": f"R{number}", "fields": [{"name": "next", "type": ["null", f"R{number}"]}]},
    ]  # fmt: skip
    names = ["id", "player_id", "timestamp", "team_id", "team_name", "score", "properties", "platform", "other"]
    fields: list[dict[str, Any]] = []
    for name in names:
        if chance.random() < (0.8 if name == "properties" else 0.1):
            continue
        usual = next((one["type"] for one in FLAT["fields"] if one["name"] == name), "string")
        kind = usual if chance.random() < 0.6 else chance.choice(kinds)
        if isinstance(kind, dict) and kind["type"] in {"fixed", "record"}:
            kinds.remove(kind)  # a name is defined once
        fields.append({"name": name, "type": kind})
    schema = {
        "type": "record",
        "name": chance.choice(["score", "Score", "Other"]),
        "namespace": "a.b",
        "fields": fields,
    }
    record: Any = generate_one(raw(schema))
    kinds_of = {one["name"]: one["type"] for one in fields}
    usual = {one["name"]: one["type"] for one in FLAT["fields"]}
    record |= {name: value for name, value in FLAT_RECORD.items() if kinds_of.get(name) == usual[name]}
    return schema, encoded(raw(schema), [], record)


def hostile(chance: random.Random) -> Iterator[bytes]:
    """Values with a header and nothing sensible behind it."""
    for number in (0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1):
        yield framed(number, b"")
        yield framed(number, chance.randbytes(20))
    for size in (1, 2, 3, 4, 5, 6):
        yield b"\0" * size
    for _ in range(200):
        yield struct.pack(">bI", 0, chance.randrange(1, 40)) + chance.randbytes(chance.randrange(60))
