"""JSON Schema and Avro schema of each type of game events.

The Avro schemas are kept in `game_events/schemas/`, so that a change of them is seen in review.
`python -m gamestream_dagster.catalogue.game_schemas` writes them anew, and refuses a schema that cannot read the
records of the former one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import SchemaParseException
from avro.schema import parse

from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.game_event import (
    AVRO_NAMESPACE,
    GAME_EVENTS_DIR,
    GameCatalogue,
    GameEventType,
    GameField,
    GameFieldType,
    load_game_events,
)

SCHEMAS_DIR = GAME_EVENTS_DIR / "schemas"
FOREIGN_DIR = GAME_EVENTS_DIR / "foreign"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
_MILLIS = "^[0-9]+$"
_DECIMAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_WITHOUT_NUL = r"^[^\u0000]*$"


def json_schema(event: GameEventType, catalogue: GameCatalogue | None = None) -> dict[str, Any]:
    """JSON Schema (2020-12) of what a game should send, with every field under its own name.

    What fits it is accepted, unless the time, a decimal or the size is refused, which a schema cannot say.
    """
    found = load_game_events() if catalogue is None else catalogue
    inside = {name: _json_rules(field) for name, field in event.properties.items()}
    needed = [name for name, field in event.properties.items() if field.required]
    fields = {name: _json_rules(field) for name, field in found.fields.items()}
    described = found.fields["properties"].description
    fields["properties"] = {"type": "object", "description": described, "properties": inside, "required": needed}
    names: list[str | int] = [*event.names, *event.codes]
    fields["event_type"] = {"enum": names, "description": found.fields["event_type"].description}
    required = [name for name in found.fields if found.required(event, name)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event.name,
        "description": event.description,
        "type": "object",
        "properties": fields,
        "required": [*required, "properties"] if needed else required,
        "additionalProperties": True,
    }


def json_schemas(catalogue: GameCatalogue | None = None) -> dict[str, dict[str, Any]]:
    """The JSON Schema of every type, by name."""
    found = load_game_events() if catalogue is None else catalogue
    return {name: json_schema(event, found) for name, event in found.types.items()}


def _json_rules(field: GameField) -> dict[str, Any]:
    rules: dict[str, Any] = {"description": field.description}
    match field.type:
        case GameFieldType.STRING if field.values:
            rules |= {"type": "string", "enum": list(field.values)}
        case GameFieldType.STRING:
            characters = f"^[{field.alphabet}]*$" if field.alphabet else _WITHOUT_NUL
            rules |= {"type": "string", "minLength": field.min_length, "maxLength": field.max_length}
            rules["pattern"] = characters
        case GameFieldType.DECIMAL:
            number = {"type": "number"} | _limits(field)
            rules["anyOf"] = [number, {"type": "string", "pattern": _DECIMAL, "maxLength": 64}]
        case GameFieldType.TIME:
            texts = [{"type": "string", "pattern": pattern} for pattern in (_ISO, _MILLIS)]
            rules["anyOf"] = [*texts, {"type": "integer"}]
        case GameFieldType.INTEGER | GameFieldType.NUMBER:
            rules |= {"type": field.type.value} | _limits(field)
        case _:
            rules["type"] = field.type.value
    return rules | ({"default": field.default} if field.default else {})


def _limits(field: GameField) -> dict[str, Any]:
    return {"minimum": _number(field.least), "maximum": _number(field.most)}


def _number(value: Any) -> int | float:
    return int(value) if value == int(value) else float(value)


def avro_schema(event: GameEventType, catalogue: GameCatalogue | None = None) -> dict[str, Any]:
    """Avro schema of an accepted event, one record name for each type, so that one topic can hold them all.

    Texts stay texts where only some values are allowed: an Avro `enum` could not get another value later.
    """
    found = load_game_events() if catalogue is None else catalogue
    fields = [
        _avro_field(name, field, required=found.required(event, name))
        for name, field in found.fields.items()
        if field.type is not GameFieldType.OBJECT
    ]
    name = event.avro_name.rpartition(".")[2]
    inside = [_avro_field(one, field, required=field.required) for one, field in event.properties.items()]
    record = {"type": "record", "name": f"{name}Properties", "fields": inside}
    fields.append({"name": "properties", "type": record, "doc": found.fields["properties"].description})
    return {
        "type": "record",
        "namespace": AVRO_NAMESPACE,
        "name": name,
        "doc": event.description,
        "fields": fields,
    }


def _avro_field(name: str, field: GameField, *, required: bool) -> dict[str, Any]:
    kind = _avro_type(field)
    if field.default is not None:
        return {"name": name, "type": kind, "default": field.default, "doc": field.description}
    if required:
        return {"name": name, "type": kind, "doc": field.description}
    return {"name": name, "type": ["null", kind], "default": None, "doc": field.description}


def _avro_type(field: GameField) -> Any:
    match field.type:
        case GameFieldType.INTEGER:
            return "long"
        case GameFieldType.NUMBER:
            return "double"
        case GameFieldType.BOOLEAN:
            return "boolean"
        case GameFieldType.TIME:
            return {"type": "long", "logicalType": "timestamp-millis"}
        case GameFieldType.DECIMAL:
            digits = max(len(str(abs(int(limit)))) for limit in (field.least, field.most)) + field.scale
            return {"type": "bytes", "logicalType": "decimal", "precision": digits, "scale": field.scale}
        case _:
            return "string"


def foreign_schemas(folder: Path = FOREIGN_DIR) -> dict[str, tuple[dict[str, Any], ...]]:
    """Avro schemas of other producers, by the type that their records are of: files `<type>.avsc` and `<type>.*.avsc`.

    Raises:
        CatalogueError: a file is not usable.
    """
    found: dict[str, tuple[dict[str, Any], ...]] = {}
    for path in sorted(folder.glob("*.avsc")):
        try:
            schema = json.loads(path.read_text(encoding="utf-8"))
            parse(json.dumps(schema))
        except (OSError, ValueError, SchemaParseException) as error:
            raise CatalogueError(f"{path} is no Avro schema ({error}); correct it") from error
        kind = path.name.partition(".")[0]
        found[kind] = (*found.get(kind, ()), schema)
    return found


def schema_text(event: GameEventType) -> str:
    """The Avro schema of a type as its file holds it."""
    return json.dumps(avro_schema(event), indent=2, ensure_ascii=False) + "\n"


def incompatible(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> tuple[str, ...]:
    """Why records written with one schema cannot be read with another; none if they can."""
    checker = ReaderWriterCompatibilityChecker()
    result = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    problems = list(result.messages) if result.compatibility is not SchemaCompatibilityType.compatible else []
    read, written = _logical(reader), _logical(writer)
    problems += [
        f"{path} is {written[path]}, should stay so and not become {read[path]}"
        for path in sorted(read.keys() & written.keys())
        if read[path] != written[path]
    ]
    return tuple(problems)


def _logical(schema: Mapping[str, Any], path: str = "") -> dict[str, tuple[Any, Any]]:
    """Logical type and scale of each field by its path: the checker does not compare them."""
    found: dict[str, tuple[Any, Any]] = {}
    for field in schema["fields"]:
        here = f"{path}{field['name']}"
        kind = field["type"]
        for one in kind if isinstance(kind, list) else [kind]:
            if isinstance(one, Mapping) and one["type"] == "record":
                found |= _logical(one, f"{here}.")
            elif one != "null":
                logical = one if isinstance(one, Mapping) else {}
                found[here] = (logical.get("logicalType"), logical.get("scale"))
    return found


def write_schemas(folder: Path = SCHEMAS_DIR, catalogue: GameCatalogue | None = None) -> list[str]:
    """Write the Avro schema of every type. Returns the names of the files that changed.

    Raises:
        CatalogueError: a schema could not read the records of the one that it replaces; nothing was written.
    """
    found = load_game_events() if catalogue is None else catalogue
    changed: dict[Path, str] = {}
    for event in found.types.values():
        path, text = folder / f"{event.name}.avsc", schema_text(event)
        former = path.read_text(encoding="utf-8") if path.exists() else None
        if former == text:
            continue
        problems = incompatible(json.loads(text), json.loads(former)) if former else ()
        if problems:
            raise CatalogueError(
                f"{path}: records of the committed schema could not be read with the new one ({'; '.join(problems)}); "
                "keep the field as it is, and add another one that is not required"
            )
        changed[path] = text
    folder.mkdir(exist_ok=True)
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")
    return [path.name for path in changed]


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}\n" for name in write_schemas())
