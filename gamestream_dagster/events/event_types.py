"""The event types of `event_types.yaml`, and what is made from them: schemas and Flink columns."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gamestream_dagster.errors import GamestreamError

EVENT_TYPES_FILE = Path(__file__).with_name("event_types.yaml")
FUTURE_LIMIT_MS = 3_600_000  # an event may be this far ahead of the Kafka timestamp of its record
MAX_LONG = 2**63 - 1


class EventTypesError(GamestreamError):
    """The catalogue of event types cannot be used; the message names the file and the field."""


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
    avro_type: str = "string"
    avro_logical_type: str | None = None
    avro_nullable: bool = False
    flink: str = Field(default="STRING", description="Type of the column in the JSON source.")


class AvroName(BaseModel):
    """Full name of the Avro record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    name: str


class EventType(BaseModel):
    """One event type: where it goes, its key and its fields in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    key: str
    description: str
    avro: AvroName
    fields: dict[str, EventField]

    @property
    def subject(self) -> str:
        """The registry's subject of the record value."""
        return f"{self.topic}-value"


@cache
def load_event_types(path: Path = EVENT_TYPES_FILE) -> dict[str, EventType]:
    """Every event type by name.

    Raises:
        EventTypesError: the file is not usable; names it and the field.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: EventType.model_validate(entry) for name, entry in raw.items()}
    except (OSError, yaml.YAMLError, ValidationError, AttributeError) as error:
        raise EventTypesError(f"{path} cannot be used: {error}") from error


def score_event() -> EventType:
    """The event type of the topic `user-score`."""
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
        "title": event.topic,
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
