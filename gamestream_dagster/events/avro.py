"""Score events as Avro in the Confluent wire format: a zero byte, the schema's number in four bytes, the record.

Whoever came first owns the subject: when `user-score-value` holds a schema already (the first generator registers its
own), we write with that one, and register ours only into an empty subject.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, Final

import fastavro
from fastavro.types import Schema

from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.registry import RegisteredSchema, Registry
from gamestream_dagster.events.acceptance import FIELD_NAMES, Outcome, Reason, Refused, judge_fields
from gamestream_dagster.events.event_types import EventType, avro_schema, score_event
from gamestream_dagster.events.score_event import ScoreEvent

_HEADER: Final = struct.Struct(">bI")
_DECODE_ERRORS: Final = (EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error)


class AvroFormatError(Exception):
    """An event cannot be written or read as Avro; the message says why and what to do."""


def score_encoder(registry: Registry, event: EventType | None = None) -> Callable[[ScoreEvent], bytes]:
    """A function that writes events with the subject's newest schema; registers ours when the subject is empty.

    Raises:
        AvroFormatError: the registry does not answer, or its schema lacks one of the fields we must send.
    """
    kind = event or score_event()
    try:
        registered = registry.latest(kind.subject)
        if registered is None:
            registry.register(kind.subject, avro_schema(kind))
            registered = registry.latest(kind.subject)
    except ServiceError as error:
        raise AvroFormatError(f"The schema of {kind.subject} cannot be had: {error}") from error
    if registered is None:
        raise AvroFormatError(f"{kind.subject} was registered and is gone again; see who deletes it, then try again.")
    known = {field["name"]: field for field in registered.schema.get("fields", [])}
    missing = [name for name, field in kind.fields.items() if field.required and name not in known]
    unfilled = [name for name, field in known.items() if name not in kind.fields and "default" not in field]
    if missing or unfilled:
        raise AvroFormatError(
            f"Version {registered.version} of {kind.subject} does not fit score events "
            f"(missing: {missing or 'none'}, unknown and without a default: {unfilled or 'none'}); "
            "register a version with the catalogue's fields, or send JSON."
        )
    return _encoder(registered)


def _encoder(registered: RegisteredSchema) -> Callable[[ScoreEvent], bytes]:
    parsed = fastavro.parse_schema(dict(registered.schema))
    header = _HEADER.pack(0, registered.schema_id)
    score_types = [_types(field["type"]) for field in registered.schema["fields"] if field["name"] == "score"]
    largest = 2**63 - 1 if "long" in score_types[0] else 2**31 - 1

    def encode(event: ScoreEvent) -> bytes:
        # fastavro writes a larger `int` without a word, and Flink's reader stops the job at it.
        if not -largest <= event.score <= largest:
            raise AvroFormatError(f"The score {event.score} does not fit the schema of its topic (at most {largest}).")
        buffer = io.BytesIO()
        buffer.write(header)
        try:
            fastavro.schemaless_writer(buffer, parsed, event._asdict())
        except (ValueError, TypeError, OverflowError, struct.error) as error:
            raise AvroFormatError(f"The event does not fit the schema of its topic: {error}") from error
        return buffer.getvalue()

    return encode


def _types(schema: Any) -> set[str]:
    """Names of the types that a field may have."""
    if isinstance(schema, list):
        return set().union(*(_types(branch) for branch in schema))
    return _types(schema["type"]) if isinstance(schema, dict) else {schema}


class AvroDecoder:
    """Reads records of `user-score` when the topic holds Avro. Schemas are fetched once, by their number."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._schemas: dict[int, Schema] = {}

    def judge(self, value: bytes | None, kafka_timestamp: int) -> Outcome:
        """What becomes of one Avro record: the acceptance rule of JSON, after another reader.

        Raises:
            AvroFormatError: the registry does not answer (which says nothing about the record).
        """
        try:
            fields = self.fields(value)
        except AvroFormatError:
            raise
        except _DECODE_ERRORS as error:
            return Refused(Reason.NOT_AVRO, f"the value is not Avro in the registry's wire format: {error}")
        return judge_fields(fields, kafka_timestamp)

    def fields(self, value: bytes | None) -> dict[str, Any]:
        """The fields as `judge_fields` wants them. Raises ValueError and its like when `value` cannot be read."""
        if not value or len(value) <= _HEADER.size or value[0] != 0:
            raise ValueError("no header")
        schema = self._schema(_HEADER.unpack_from(value)[1])
        record = fastavro.schemaless_reader(io.BytesIO(value[_HEADER.size :]), schema, None)
        if not isinstance(record, dict):
            raise TypeError("not a record")
        fields: dict[str, Any] = {name: _text(record.get(name)) for name in FIELD_NAMES}
        fields["event_time_millis"] = _millis(record.get("event_time_millis"))
        return fields

    def _schema(self, schema_id: int) -> Schema:
        if schema_id not in self._schemas:
            try:
                found = self._registry.schema_by_id(schema_id)
            except NotFoundError as error:
                raise ValueError(f"no schema has the number {schema_id}") from error
            except ServiceError as error:
                raise AvroFormatError(f"Schema {schema_id} cannot be had: {error}") from error
            self._schemas[schema_id] = fastavro.parse_schema(dict(found))
        return self._schemas[schema_id]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _millis(value: object) -> int | None:
    """A `long`, also where the writer's schema calls it a timestamp in a way that fastavro turns into a datetime."""
    if isinstance(value, int):
        return value
    timestamp = getattr(value, "timestamp", None)
    return round(timestamp() * 1000) if timestamp is not None else None
