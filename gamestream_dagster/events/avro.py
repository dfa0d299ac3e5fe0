"""Score events as Avro in the Confluent wire format: a zero byte, the schema's number in four bytes, the record.

Whoever came first owns the subject: when `user-score-value` holds a schema already (the first generator registers its
own), we write with that one, and register ours only into an empty subject. What a record holds is decided by
`avro_reading`, which the streaming jobs' format follows too.
"""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException
from fastavro.types import Schema

from gamestream_dagster.catalogue.event_type import EventType, avro_schema, score_event
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.registry import RegisteredSchema, Registry, StoredSchema
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.events.acceptance import FIELD_NAMES, Outcome, Reason, Refused, judge_fields
from gamestream_dagster.events.avro_reading import (
    UNREADABLE,
    NotAvroError,
    NotUtf8Error,
    RecordReader,
    record_reader,
)
from gamestream_dagster.events.avro_shape import Kind, Shape, UnusableSchemaError, shape_of
from gamestream_dagster.events.score_event import ScoreEvent

_HEADER: Final = struct.Struct(">bi")
_NUMBERS: Final = ("score", "event_time_millis")
_TEXTS: Final = tuple(name for name in FIELD_NAMES if name not in _NUMBERS)
_MAX_REFERENCES: Final = 100
_MAX_UNKNOWN: Final = 1_000
_UNKNOWN_SECONDS: Final = 60.0  # after this an unknown number is asked for again
_FACTORS: Final = {
    "timestamp-micros": 1_000,
    "local-timestamp-micros": 1_000,
    "timestamp-nanos": 1_000_000,
    "local-timestamp-nanos": 1_000_000,
}


class AvroFormatError(GamestreamError):
    """An event cannot be written or read as Avro; the message says why and what to do."""


def score_encoder(registry: Registry, source: Source) -> Callable[[ScoreEvent], bytes]:
    """A function that writes score events with the subject's newest schema; registers ours when the subject is empty.

    Raises:
        AvroFormatError: the registry does not answer, or its schema lacks one of the fields we must send.
    """
    kind = score_event()
    subject = source.subject_of(kind)
    try:
        registered = registry.latest(subject)
        if registered is None:
            registry.register(subject, avro_schema(kind))
            registered = registry.latest(subject)
        if registered is None:
            raise AvroFormatError(f"{subject} was registered and is gone again; see who deletes it, then try again.")
        _check_fits(kind, registered)
        schemas, shape = _named_shapes(registry, registered)
    except ServiceError as error:
        raise AvroFormatError(f"The schema of {subject} cannot be had: {error}") from error
    return _encoder(registered, schemas, shape)


def _check_fits(kind: EventType, registered: RegisteredSchema) -> None:
    what = f"Version {registered.version} of {registered.subject}"
    if registered.schema_type != "AVRO" or registered.schema.get("type") != "record":
        found = registered.schema_type if registered.schema_type != "AVRO" else "Avro, but no record"
        raise AvroFormatError(
            f"{what} does not fit score events (it is {found}); register a version with the catalogue's fields, or "
            "send JSON."
        )
    known = {field["name"]: field for field in registered.schema.get("fields", [])}
    missing = [name for name, field in kind.fields.items() if field.required and name not in known]
    unfilled = [name for name, field in known.items() if name not in kind.fields and "default" not in field]
    if missing or unfilled:
        raise AvroFormatError(
            f"{what} does not fit score events "
            f"(missing: {missing or 'none'}, unknown and without a default: {unfilled or 'none'}); "
            "register a version with the catalogue's fields, or send JSON."
        )


def _named_shapes(registry: Registry, registered: RegisteredSchema) -> tuple[list[Any], Shape]:
    """The schemas that `registered` refers to, innermost first, and its own shape."""
    schemas: list[Any] = []
    stored = StoredSchema(json.dumps(registered.schema), registered.schema_type, registered.references)
    try:
        return schemas, _resolve(registry, stored, {}, set(), schemas)
    except UnusableSchemaError as error:
        raise AvroFormatError(
            f"Version {registered.version} of {registered.subject} cannot be used ({error}); register a version with "
            "the catalogue's fields, or send JSON."
        ) from error


def _resolve(
    registry: Registry, stored: StoredSchema, named: dict[str, Shape], seen: set[tuple[str, int]], schemas: list[Any]
) -> Shape:
    """The shape of a schema and of all that it refers to; the referred schemas are added to `schemas`."""
    if stored.schema_type != "AVRO":
        raise UnusableSchemaError(f"it is {stored.schema_type}")
    for reference in stored.references:
        place = (reference.subject, reference.version)
        if place in seen:
            continue
        seen.add(place)
        try:
            if len(seen) > _MAX_REFERENCES:
                raise UnusableSchemaError("it refers to too many schemas")
            referred = registry.referred(reference)
        except NotFoundError as error:
            raise UnusableSchemaError(f"{reference.subject} {reference.version} is missing") from error
        _resolve(registry, referred, named, seen, schemas)
        schemas.append(json.loads(referred.text))
    try:
        return shape_of(json.loads(stored.text), named)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UnusableSchemaError("it is no JSON") from error


def _encoder(registered: RegisteredSchema, schemas: list[Any], shape: Shape) -> Callable[[ScoreEvent], bytes]:
    parsed = _for_writing(registered, schemas)
    header = _HEADER.pack(0, registered.schema_id)
    places = {name: place for place, name in enumerate(shape.names)}
    score, millis = (shape.parts[places[name]] for name in _NUMBERS)
    for name, field in zip(_NUMBERS, (score, millis), strict=True):
        if not _kinds(field) & {Kind.INT, Kind.LONG}:
            raise AvroFormatError(
                f"Version {registered.version} of {registered.subject} does not fit score events ({name} is no int or "
                "long); register a version with the catalogue's fields, or send JSON."
            )
    largest = 2**63 - 1 if Kind.LONG in _kinds(score) else 2**31 - 1
    factor = _time_factor(millis, shape.field_logical_types[places["event_time_millis"]])

    def encode(event: ScoreEvent) -> bytes:
        # fastavro writes a larger `int` without a word, and a reader refuses the record.
        if not -largest <= event.score <= largest:
            raise AvroFormatError(f"The score {event.score} does not fit the schema of its topic (at most {largest}).")
        buffer = io.BytesIO()
        buffer.write(header)
        written = event._asdict() | {"event_time_millis": event.event_time_millis * factor}
        try:
            fastavro.schemaless_writer(buffer, parsed, written)
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, struct.error) as error:
            raise AvroFormatError(f"The event does not fit the schema of its topic: {error}") from error
        return buffer.getvalue()

    return encode


def _for_writing(registered: RegisteredSchema, schemas: list[Any]) -> Schema:
    named: dict[str, Any] = {}
    try:
        for schema in schemas:
            fastavro.parse_schema(_without_logical_times(schema), named)
        return fastavro.parse_schema(_without_logical_times(registered.schema), named)
    except (SchemaParseException, ValueError, TypeError, KeyError) as error:
        raise AvroFormatError(
            f"Version {registered.version} of {registered.subject} cannot be used ({error}); register a version with "
            "the catalogue's fields, or send JSON."
        ) from error


def _without_logical_times(schema: Any) -> Any:
    """The schema without the logical types of times: we count in the unit ourselves, where fastavro wants datetimes."""
    if isinstance(schema, list):
        return [_without_logical_times(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: _without_logical_times(value)
        for name, value in schema.items()
        if not (name == "logicalType" and "timestamp" in str(value))
    }


def _kinds(shape: Shape) -> set[Kind]:
    return {one.kind for one in _branches(shape)}


def _branches(shape: Shape) -> tuple[Shape, ...]:
    return shape.parts if shape.kind is Kind.UNION else (shape,)


def _time_factor(shape: Shape, field_logical: str) -> int:
    """Units of the schema's time in a millisecond."""
    named = {one.logical_type for one in _branches(shape) if one.kind is Kind.LONG} | {field_logical}
    return max((_FACTORS[name] for name in named if name in _FACTORS), default=1)


class AvroDecoder:
    """Reads score events of a topic that holds Avro. Schemas are fetched once, by their number."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._readers: dict[int, RecordReader] = {}
        self._unknown: dict[int, tuple[str, float]] = {}

    def judge(self, value: bytes | None, kafka_timestamp: int) -> Outcome:
        """What becomes of one Avro record: the acceptance rule of JSON, after another reader.

        Raises:
            AvroFormatError: the registry does not answer (which says nothing about the record).
        """
        try:
            fields = self.fields(value)
        except NotUtf8Error as error:
            return Refused(Reason.NOT_UTF8, str(error))
        except NotAvroError as error:
            return Refused(Reason.NOT_AVRO, f"the value is not Avro in the registry's wire format: {error}")
        return judge_fields(fields, kafka_timestamp)

    def fields(self, value: bytes | None) -> dict[str, Any]:
        """The fields as `judge_fields` wants them.

        Raises:
            NotAvroError: `value` cannot be read.
            AvroFormatError: the registry does not answer.
        """
        if value is None or len(value) < _HEADER.size or value[0] != 0:
            raise NotAvroError("no header")
        number = _HEADER.unpack_from(value)[1]
        fields = (self._readers.get(number) or self._reader(number))(value, _HEADER.size)
        score, millis = fields.get("score"), fields.get("event_time_millis")
        if score is not None:
            fields["score"] = str(score)
        if type(millis) is not int:
            fields["event_time_millis"] = None
        for name in _TEXTS:
            if fields.get(name) is UNREADABLE:
                fields[name] = None
        return fields

    def _reader(self, schema_id: int) -> RecordReader:
        why, until = self._unknown.get(schema_id, ("", 0.0))
        if time.monotonic() < until:
            raise NotAvroError(why)
        try:
            shape = self._shape(schema_id)
        except UnusableSchemaError as error:
            if len(self._unknown) >= _MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = (str(error), time.monotonic() + _UNKNOWN_SECONDS)
            raise NotAvroError(str(error)) from error
        except ServiceError as error:
            raise AvroFormatError(f"Schema {schema_id} cannot be had: {error}") from error
        self._readers[schema_id] = record_reader(shape, _TEXTS, _NUMBERS)
        return self._readers[schema_id]

    def _shape(self, schema_id: int) -> Shape:
        if schema_id < 0:
            raise UnusableSchemaError("no schema has a number over 31 bits")
        try:
            stored = self._registry.stored_schema(schema_id)
        except NotFoundError as error:
            raise UnusableSchemaError(f"no schema has the number {schema_id}") from error
        try:
            return _resolve(self._registry, stored, {}, set(), [])
        except UnusableSchemaError as error:
            raise UnusableSchemaError(f"schema {schema_id} cannot be used: {error}") from error
