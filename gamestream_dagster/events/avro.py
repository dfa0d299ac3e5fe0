"""Score events as Avro in the Confluent wire format: a zero byte, the schema's number in four bytes, the record.

Whoever came first owns the subject: when `user-score-value` holds a schema already (the first generator registers its
own), we write with that one, and register ours only into an empty subject. What a record holds is decided by
`avro_reading`, which the streaming jobs' format follows too.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException
from fastavro.types import Schema

from gamestream_dagster.catalogue.event_type import EventType, FieldType, avro_schema, score_event
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.registry import RegisteredSchema, Registry, StoredSchema
from gamestream_dagster.events.avro_reading import (
    UNREADABLE,
    NotAvroError,
    NotUtf8Error,
    RecordReader,
    record_reader,
)
from gamestream_dagster.events.avro_schemas import (
    HEADER,
    AvroFormatError,
    WriterSchemas,
    is_framed,
    name_of,
    resolved_shape,
)
from gamestream_dagster.events.avro_shape import Kind, Shape, UnusableSchemaError
from gamestream_dagster.events.outcome import Outcome, Reason, Refused
from gamestream_dagster.events.rule import Rule, rule_of
from gamestream_dagster.events.score_event import ScoreEvent

_NUMBERS: Final = ("score", "event_time_millis")
_FACTORS: Final = {
    "timestamp-micros": 1_000,
    "local-timestamp-micros": 1_000,
    "timestamp-nanos": 1_000_000,
    "local-timestamp-nanos": 1_000_000,
}


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
        return schemas, resolved_shape(registry, stored, schemas)
    except UnusableSchemaError as error:
        raise AvroFormatError(
            f"Version {registered.version} of {registered.subject} cannot be used ({error}); register a version with "
            "the catalogue's fields, or send JSON."
        ) from error


def _encoder(registered: RegisteredSchema, schemas: list[Any], shape: Shape) -> Callable[[ScoreEvent], bytes]:
    parsed = _for_writing(registered, schemas)
    header = HEADER.pack(0, registered.schema_id)
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


@dataclass(frozen=True)
class _Reader:
    """How the records of one schema are read and judged."""

    read: RecordReader
    rule: Rule


class _NoEventTypeError(UnusableSchemaError):
    """The schema is of no event type of the topic."""


class AvroDecoder:
    """Reads records of a topic that holds Avro. Schemas are fetched once, by their number.

    With several event types the full name of a record's schema says which one it is of.

    Args:
        registry: where the schemas are.
        event_types: what the topic holds.
    """

    def __init__(self, registry: Registry, event_types: Sequence[EventType]) -> None:
        self._rules = {event.avro_name: rule_of(event) for event in event_types}
        self._readers = WriterSchemas(registry, self._reader)

    def judge(self, value: bytes | None, kafka_timestamp: int) -> Outcome:
        """What becomes of one Avro record: the acceptance rule of JSON, after another reader.

        Raises:
            AvroFormatError: the registry does not answer (which says nothing about the record).
        """
        if value is None or not is_framed(value):
            return _not_avro("no header")
        try:
            reader = self._readers.of(value)
            fields = reader.read(value, HEADER.size)
        except _NoEventTypeError as error:
            return Refused(Reason.UNKNOWN_EVENT_TYPE, str(error))
        except NotUtf8Error as error:
            return Refused(Reason.NOT_UTF8, str(error))
        except (UnusableSchemaError, NotAvroError) as error:
            return _not_avro(str(error))
        return reader.rule.judge_fields(_as_read(fields, reader.rule), kafka_timestamp)

    def _reader(self, stored: StoredSchema, shape: Shape) -> _Reader:
        rule = next(iter(self._rules.values())) if len(self._rules) == 1 else self._rules.get(name_of(stored))
        if rule is None:
            raise _NoEventTypeError(f"the schema {name_of(stored) or 'without a name'} is of no event type here")
        texts = [name for name in rule.event.fields if rule.event.fields[name].type is FieldType.STRING]
        numbers = [name for name in rule.event.fields if name not in texts]
        return _Reader(record_reader(shape, texts, numbers), rule)


def _not_avro(why: str) -> Refused:
    return Refused(Reason.NOT_AVRO, f"the value is not Avro in the registry's wire format: {why}")


def _as_read(fields: dict[str, Any], rule: Rule) -> dict[str, Any]:
    """The fields as a rule wants them: numbers that it judges by their text as text, what cannot be read as null."""
    for name in rule.longs:
        if type(fields.get(name)) is not int:
            fields[name] = None
    for name in rule.texts:
        found = fields.get(name)
        if rule.event.fields[name].type is FieldType.INTEGER:
            fields[name] = None if found is None else str(found)
        elif found is UNREADABLE:
            fields[name] = None
    return fields
