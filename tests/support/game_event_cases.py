"""The cases of the rule of game events: those of `game_event_cases.yaml`, and those made from the declaration.

`python -m tests.support.game_event_cases` prints all of them as JSON lines, for implementations in other languages:
`name`, `value` (base64, null for a tombstone), `kafka_timestamp`, `reason` (null: accepted), `field`, and `event`
(fields of the accepted event that the case names).
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from gamestream_dagster.catalogue.game_event import GameEventType, GameField, GameFieldType, load_game_events
from gamestream_dagster.events.game_outcome import GameReason

CASES_FILE = Path(__file__).with_name("game_event_cases.yaml")
NOW = 1_700_000_000_000
CATALOGUE = load_game_events()
NOTHING: Mapping[str, Any] = MappingProxyType({})


class GameCase(NamedTuple):
    """One record with its outcome."""

    name: str
    value: bytes | None
    reason: GameReason | None = None
    """None: accepted."""
    field: str | None = None
    """Of a refused record, where it matters."""
    event: Mapping[str, Any] = NOTHING
    """What the accepted event holds; fields that are not named here are not compared."""
    kafka_timestamp: int = NOW


@cache
def written_cases() -> tuple[GameCase, ...]:
    """The cases of the YAML file."""
    described = yaml.safe_load(CASES_FILE.read_text(encoding="utf-8"))
    return tuple(_case(one, described["bases"]) for one in described["cases"])


def _case(one: dict[str, Any], bases: dict[str, dict[str, str]]) -> GameCase:
    known = {"name", "value", "base64", "fill", "base", "put", "props", "expect", "field", "event", "kafka_timestamp"}
    assert one.keys() <= known, one
    reason = None if one["expect"] == "accepted" else GameReason(one["expect"])
    at = one.get("kafka_timestamp", NOW)
    return GameCase(one["name"], _value(one, bases), reason, one.get("field"), one.get("event", {}), at)


def _value(one: dict[str, Any], bases: dict[str, dict[str, str]]) -> bytes | None:
    if "base64" in one:
        return base64.b64decode(one["base64"])
    if "value" in one:
        text = one["value"]
    else:
        envelope, properties = dict(bases["envelope"]), dict(bases[one.get("base", "score")])
        envelope["event_type"] = properties.pop("event_type")
        parts = _put(properties, one.get("props", {}))
        envelope["properties"] = _object(parts)
        text = _object(_put(envelope, one.get("put", {})))
    if text is None:
        return None
    for mark, (part, times) in one.get("fill", {}).items():
        text = text.replace(mark, part * times)
    return text.encode()


def _put(parts: dict[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**parts, **changes}
    return {name: text for name, text in merged.items() if text is not None}


def _object(parts: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in parts.items()) + "}"


@cache
def made_cases() -> tuple[GameCase, ...]:
    """Cases of every field of every type, made from the declaration."""
    return tuple(case for event in CATALOGUE.types.values() for case in _cases_of(event))


def all_cases() -> tuple[GameCase, ...]:
    """Every case."""
    return (*written_cases(), *made_cases())


def plain_event(event: GameEventType) -> dict[str, Any]:
    """An event of a type with every field that the catalogue knows."""
    fields = {name: plain_value(name, one) for name, one in CATALOGUE.fields.items()}
    properties = {name: plain_value(name, one) for name, one in event.properties.items()}
    return fields | {"event_type": event.name, "event_time": NOW - 1000, "properties": properties}


def plain_value(name: str, one: GameField) -> Any:
    """A value that a field accepts."""
    match one.type:
        case GameFieldType.INTEGER:
            return int(one.least) + 1
        case GameFieldType.NUMBER:
            return int(one.least)
        case GameFieldType.DECIMAL:
            return f"{one.least + 1}"
        case GameFieldType.BOOLEAN:
            return True
        case _:
            return one.values[0] if one.values else "A" * one.min_length if one.alphabet else f"{name}-1"


def _cases_of(event: GameEventType) -> Iterator[GameCase]:
    plain = plain_event(event)
    yield _made(event, "every field", plain, event={"event_type": event.name, "event_time_millis": NOW - 1000})
    for spelled in event.names:
        yield _made(event, f"named {spelled}", plain | {"event_type": spelled}, event={"event_type": event.name})
    for code in event.codes:
        yield _made(event, f"code {code}", plain | {"event_type": code}, event={"event_type": event.name})
    needed = {name: one for name, one in event.properties.items() if one.required}
    least = {name: value for name, value in plain.items() if CATALOGUE.required(event, name)}
    least["properties"] = {name: plain["properties"][name] for name in needed}
    yield _made(event, "required fields only", least)
    flat = {name: value for name, value in least.items() if name != "properties"} | least["properties"]
    yield _made(event, "properties at the top level", flat)
    for name, one in CATALOGUE.fields.items():
        yield from _field_cases(event, plain, name, one, CATALOGUE.required(event, name), inside=False)
    for name, one in event.properties.items():
        yield from _field_cases(event, plain, name, one, one.required, inside=True)


def _field_cases(
    event: GameEventType, plain: dict[str, Any], name: str, one: GameField, required: bool, *, inside: bool
) -> Iterator[GameCase]:
    path = f"properties.{name}" if inside else name
    missing = GameReason.MISSING_FIELD if required else None
    without = [("absent", ...), ("null", None)]
    if one.type is not GameFieldType.STRING or one.min_length:
        without.append(("empty", ""))
    for what, value in without:
        needs_properties = name == "properties" and any(found.required for found in event.properties.values())
        if needs_properties:
            first = next(key for key, found in event.properties.items() if found.required)
            yield _made(
                event,
                f"{path} {what}",
                _with(plain, name, value, inside),
                GameReason.MISSING_FIELD,
                f"properties.{first}",
            )
            continue
        yield _made(event, f"{path} {what}", _with(plain, name, value, inside), missing, path if missing else None)
    for what, value, reason in _values(one):
        changed = _with(plain, name, value, inside)
        yield _made(event, f"{path} {what}", changed, reason, path if reason else None)
    for other in one.synonyms:
        changed = _with(
            _with(plain, name, ..., inside), other, (plain["properties"] if inside else plain)[name], inside
        )
        if name not in {"event_type", "properties"} or other not in plain:
            yield _made(event, f"{path} as {other}", changed)


def _values(one: GameField) -> Iterator[tuple[str, Any, GameReason | None]]:
    wrong, outside, large = GameReason.WRONG_TYPE, GameReason.OUT_OF_RANGE, GameReason.TOO_LARGE
    if one.type is not GameFieldType.BOOLEAN:
        yield "a boolean", True, wrong
    if one.type is not GameFieldType.OBJECT:
        yield "an object", {"a": 1}, wrong
    yield "an array", [1], wrong
    match one.type:
        case GameFieldType.STRING:
            yield "a number", 7, wrong
            if one.values:
                yield "none of the values", "other", outside
                yield from ((f"value {value}", value, None) for value in one.values)
            if one.alphabet:
                yield "other characters", "a" * one.min_length, outside
            if one.max_length is not None:
                letter = one.alphabet[0] if one.alphabet else "\U0001f600"
                yield "as long as allowed", letter * one.max_length, None
                yield "too long", letter * (one.max_length + 1), large
            if one.min_length > 1:
                yield "too short", (one.alphabet or "a")[0] * (one.min_length - 1), outside
        case GameFieldType.INTEGER | GameFieldType.NUMBER | GameFieldType.DECIMAL:
            yield "a word", "seven", wrong
            if one.type is not GameFieldType.DECIMAL:
                yield "a number's text", "7", wrong
            if one.type is GameFieldType.INTEGER:
                yield "a fraction", 0.5, wrong
            yield "the least", int(one.least), None
            yield "the most", int(one.most), None
            yield "below the least", int(one.least) - 1, outside
            yield "above the most", int(one.most) + 1, outside
            yield "beyond 64 bits", 2**63, outside
            if one.type is GameFieldType.DECIMAL:
                yield "the least as a text", f"{one.least:f}", None
                yield "too fine", f"0.{'0' * one.scale}1", outside
        case _:
            yield "a fraction", 0.5, wrong


def _with(event: dict[str, Any], name: str, value: Any, inside: bool) -> dict[str, Any]:
    if inside:
        return event | {"properties": _with(event["properties"], name, value, inside=False)}
    rest = {key: one for key, one in event.items() if key != name}
    return rest if value is ... else rest | {name: value}


def _made(  # noqa: PLR0917 - a case is read as one line
    kind: GameEventType,
    name: str,
    document: dict[str, Any],
    reason: GameReason | None = None,
    path: str | None = None,
    event: Mapping[str, Any] = NOTHING,
) -> GameCase:
    value = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return GameCase(f"{kind.name}: {name}", value, reason, path, event)


def _printed(case: GameCase) -> str:
    value = None if case.value is None else base64.b64encode(case.value).decode()
    shown: dict[str, Any] = {
        "name": case.name,
        "value": value,
        "kafka_timestamp": case.kafka_timestamp,
        "reason": case.reason,
    }
    return json.dumps(shown | {"field": case.field, "event": dict(case.event)})


if __name__ == "__main__":
    sys.stdout.writelines(f"{_printed(case)}\n" for case in all_cases())
