"""The event types, one file each in `event_types/`, and what is made from them: schemas and Flink columns."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from keyword import iskeyword
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.boards import Identifier
from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.catalogue.errors import CatalogueError

EVENT_TYPES_DIR = Path(__file__).with_name("event_types")
MAX_LONG = 2**63 - 1


class FieldType(StrEnum):
    """Type of a field, as a game sends it."""

    STRING = "string"
    INTEGER = "integer"


class EventField(BaseModel):
    """One field of an event type, with its rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: FieldType
    description: str
    required: bool = False
    min_length: int = Field(default=0, ge=0, description="Characters.")
    max_length: int | None = Field(default=None, gt=0, description="Characters.")
    nul_allowed: bool = Field(default=True, description="Postgres cannot hold a NUL in a text.")
    minimum: int | None = None
    maximum: int | None = None
    max_ahead: DurationMs | None = Field(
        default=None, description="How far a time may be ahead of the record's Kafka timestamp, such as `1h`."
    )
    archived: bool = Field(default=True, description="False: the archive keeps no column of it.")
    avro_type: str = "string"
    avro_logical_type: str | None = None
    avro_nullable: bool = False
    flink: str = Field(default="STRING", description="Type of the column in the JSON source.")


class AvroName(BaseModel):
    """Full name of the Avro record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    name: str


class Envelope(BaseModel):
    """Which of an event type's fields is what every event has. None: events of the type have no such thing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: Identifier
    event_time_millis: Identifier
    event_id: Identifier | None = None
    event_type: Identifier | None = None


class EventType(BaseModel):
    """One event type: its fields in order, with the rule that accepts or refuses a record of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier
    description: str
    avro: AvroName
    envelope: Envelope
    fields: dict[Identifier, EventField]
    derived: dict[Identifier, str] = Field(
        default_factory=dict,
        description="Further columns for outputs, each a DuckDB expression over those of the archive.",
    )
    measure: Identifier | None = Field(
        default=None, description="The integer field that outputs sum (role `sum`); None: events are only counted."
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> EventType:
        kinds = Envelope(user_id="string", event_time_millis="integer", event_id="string", event_type="string")
        for part, name in self.envelope.model_dump(exclude_none=True).items():
            if name not in self.fields:
                raise ValueError(f"`envelope` says that {part} is the field {name!r}, which is not in `fields`")
            if self.fields[name].type != getattr(kinds, part):
                raise ValueError(f"field {name!r} is the envelope's {part}, so it must be a {getattr(kinds, part)}")
        if self.measure is not None and (
            self.measure not in self.fields or self.fields[self.measure].type is not FieldType.INTEGER
        ):
            raise ValueError(f"`measure` names {self.measure!r}, which must be an integer of `fields`")
        for name, field in self.fields.items():
            if iskeyword(name) or name == "remark":
                raise ValueError(f"field {name!r} has a reserved name; give it another one")
            if field.min_length > 1:
                raise ValueError(f"`min_length` of field {name!r} is 0, or 1 for a text that must not be empty")
            if field.max_ahead is not None and name != self.envelope.event_time_millis:
                raise ValueError(f"`max_ahead` of field {name!r}: only the event time has it")
        if self.time.max_ahead is None or not self.time.required:
            raise ValueError("the event time must be `required` and needs `max_ahead`")
        return self

    def __hash__(self) -> int:
        return hash((self.name, *self.fields))

    @property
    def time(self) -> EventField:
        """The field that is the event time."""
        return self.fields[self.envelope.event_time_millis]

    @property
    def max_ahead_ms(self) -> int:
        """How far an event may be ahead of the Kafka timestamp of its record, milliseconds."""
        return self.time.max_ahead or 0

    @property
    def avro_name(self) -> str:
        """Full name of the Avro record."""
        return f"{self.avro.namespace}.{self.avro.name}"

    @property
    def own_columns(self) -> dict[str, EventField]:
        """The fields that the archive has columns for beside those of the envelope."""
        enveloped = set(self.envelope.model_dump(exclude_none=True).values())
        return {name: one for name, one in self.fields.items() if one.archived and name not in enveloped}


@cache
def load_event_types(folder: Path = EVENT_TYPES_DIR) -> dict[str, EventType]:
    """Every event type by name, which is the name of its file.

    Raises:
        CatalogueError: a file is not usable; names it and the field.
    """
    return {path.stem: _load(path) for path in sorted(folder.glob("*.yaml"))}


def _load(path: Path) -> EventType:
    try:
        return EventType(name=path.stem, **yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, TypeError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error


def score_event() -> EventType:
    """The event type `score`, which boards of scores are made from."""
    return load_event_types()["score"]


def json_schema(event: EventType) -> dict[str, Any]:
    """JSON Schema (2020-12) of what a game should send. Unknown fields are let through: they are only remarked upon."""
    properties: dict[str, Any] = {}
    for name, field in event.fields.items():
        rules: dict[str, Any] = {"type": field.type.value, "description": field.description}
        for keyword, value in (
            ("minLength", field.min_length or None),
            ("maxLength", field.max_length),
            ("minimum", field.minimum),
            ("maximum", field.maximum),
        ):
            if value is not None:
                rules[keyword] = value
        if not field.nul_allowed:
            rules["pattern"] = r"^[^\u0000]*$"
        properties[name] = rules
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event.name,
        "description": event.description,
        "type": "object",
        "properties": properties,
        "required": [name for name, field in event.fields.items() if field.required],
        "additionalProperties": True,
    }


def avro_schema(event: EventType) -> dict[str, Any]:
    """Avro schema of the record value. It reads records written with the first generator's schema, and the reverse."""
    fields: list[dict[str, Any]] = []
    for name, field in event.fields.items():
        entry: dict[str, Any] = {"name": name, "type": field.avro_type}
        if field.avro_logical_type:
            entry["logicalType"] = field.avro_logical_type
        if field.avro_nullable:
            entry |= {"type": ["null", field.avro_type], "default": None}
        fields.append(entry)
    return {"type": "record", "namespace": event.avro.namespace, "name": event.avro.name, "fields": fields}


def flink_columns(event: EventType) -> dict[str, str]:
    """Physical columns of the Flink JSON source, in order: name to SQL type."""
    return {name: field.flink for name, field in event.fields.items()}
