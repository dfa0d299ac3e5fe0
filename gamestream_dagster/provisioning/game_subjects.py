"""Registry subjects of game events, named by their records (`TopicRecordNameStrategy`): one for each type in the topic,
and those of other producers whose schemas are in `game_events/foreign/`.

Any schema of a subject will do whose records intake can accept: it finds fields by their names and synonyms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gamestream_dagster.catalogue.game_event import GameCatalogue, GameEventType, GameField, GameFieldType
from gamestream_dagster.catalogue.game_schemas import avro_schema, foreign_schemas
from gamestream_dagster.provisioning.subjects import Subject

_TYPE: Final = "event_type"
_PROPERTIES: Final = "properties"
_WHOLE: Final = frozenset({"int", "long"})
_NUMBERS: Final = _WHOLE | {"float", "double", "decimal"}
_TEXTS: Final = frozenset({"string", "bytes", "enum", "uuid"})
_FITTING: Final = {
    GameFieldType.STRING: _TEXTS,
    GameFieldType.INTEGER: _WHOLE,
    GameFieldType.DECIMAL: _NUMBERS | _TEXTS,
    GameFieldType.NUMBER: _NUMBERS,
    GameFieldType.BOOLEAN: frozenset({"boolean"}),
    GameFieldType.TIME: _WHOLE | _TEXTS,
    GameFieldType.EVENT_TYPE: _WHOLE | _TEXTS,
    GameFieldType.OBJECT: frozenset({"record", "map"}),
}


def game_subjects(topic: str, catalogue: GameCatalogue) -> dict[str, Subject]:
    """The subjects of a topic of game events, by name."""
    found: dict[str, Subject] = {}
    foreign = foreign_schemas()
    for event in catalogue.types.values():

        def unreadable(writer: Mapping[str, Any], event: GameEventType = event) -> tuple[str, ...]:
            return tuple(unacceptable(event, catalogue, writer))

        for schema in (avro_schema(event, catalogue), *foreign.get(event.name, ())):
            name = f"{topic}-{schema['namespace']}.{schema['name']}"
            found[name] = Subject(name, schema, schema, topic, event.description, unreadable)
    return found


def unacceptable(event: GameEventType, catalogue: GameCatalogue, writer: Mapping[str, Any]) -> Iterator[str]:
    """Why records of `writer` are no acceptable events of a type, field by field."""
    if writer.get("type") != "record":
        yield f"is a {writer.get('type')}, should be a record"
        return
    sent = _fields(writer)
    optional = {name for name in catalogue.fields if not catalogue.required(event, name)} | {_TYPE, *event.derives}
    yield from _differences(catalogue.fields, sent, optional)
    inside = next((sent[name] for name in _names(_PROPERTIES, catalogue.fields[_PROPERTIES]) if name in sent), None)
    if inside is not None:
        record = next((one for one in _parts(inside) if isinstance(one, Mapping) and one.get("type") == "record"), None)
        if record is None:
            return  # a map has what fields it has
        sent = _fields(record)
    optional = {name for name, field in event.properties.items() if not field.required}
    yield from _differences(event.properties, sent, optional)


def _differences(fields: Mapping[str, GameField], sent: Mapping[str, Any], optional: set[str]) -> Iterator[str]:
    for name, field in fields.items():
        given = next((one for one in _names(name, field) if one in sent), None)
        if given is None:
            if name not in optional:
                yield f"field {name} is missing"
            continue
        kinds = {_kind(one) for one in _parts(sent[given])}
        # null is for the record to say: a required field may be there each time
        if unfit := sorted(kinds - _FITTING[field.type] - {"null"}):
            yield f"field {given} is {' or '.join(unfit)}, should be {' or '.join(sorted(_FITTING[field.type]))}"


def _names(name: str, field: GameField) -> tuple[str, ...]:
    return (name, *field.synonyms)


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["type"] for one in record.get("fields", [])}


def _parts(declared: Any) -> list[Any]:
    return list(declared) if isinstance(declared, list) else [declared]


def _kind(declared: Any) -> str:
    if not isinstance(declared, Mapping):
        return str(declared)
    if declared.get("logicalType") in {"decimal", "uuid"}:
        return str(declared["logicalType"])
    kind = declared.get("type")
    return _kind(kind) if isinstance(kind, Mapping) else str(kind)
