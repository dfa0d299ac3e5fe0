"""Schemas of Avro records in the Confluent wire format: a zero byte, the schema's number in four bytes, the record."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.registry import Registry, StoredSchema
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.events.avro_shape import Shape, UnusableSchemaError, shape_of

HEADER: Final = struct.Struct(">bi")
MAX_REFERENCES: Final = 100
MAX_UNKNOWN: Final = 1_000
UNKNOWN_SECONDS: Final = 60.0  # after this an unknown number is asked for again

T = TypeVar("T")


class AvroFormatError(GamestreamError):
    """An event cannot be written or read as Avro; the message says why and what to do."""


class WriterSchemas(Generic[T]):
    """What is made of each schema, by its number. A schema is fetched once; an unknown number again after a minute.

    Args:
        registry: where the schemas are.
        make: from a schema and its shape; may raise `UnusableSchemaError`.
    """

    def __init__(self, registry: Registry, make: Callable[[StoredSchema, Shape], T]) -> None:
        self._registry = registry
        self._make = make
        self._known: dict[int, T] = {}
        self._unknown: dict[int, tuple[UnusableSchemaError, float]] = {}

    def of(self, value: bytes) -> T:
        """What is made of the schema of a record that `is_framed`.

        Raises:
            UnusableSchemaError: nothing that was written with it can be read, or `make` says so.
            AvroFormatError: the registry does not answer, which says nothing about the record.
        """
        number: int = HEADER.unpack_from(value)[1]
        found = self._known.get(number)
        if found is None:
            found = self._fetched(number)
        return found

    def _fetched(self, number: int) -> T:
        error, until = self._unknown.get(number, (None, 0.0))
        if error is not None and time.monotonic() < until:
            raise type(error)(str(error))
        try:
            stored, shape = self._looked_up(number)
            made = self._known[number] = self._make(stored, shape)
        except UnusableSchemaError as unusable:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[number] = (unusable, time.monotonic() + UNKNOWN_SECONDS)
            raise
        except ServiceError as away:
            raise AvroFormatError(f"Schema {number} cannot be had: {away}") from away
        return made

    def _looked_up(self, number: int) -> tuple[StoredSchema, Shape]:
        if number < 0:
            raise UnusableSchemaError("no schema has a number over 31 bits")
        try:
            stored = self._registry.stored_schema(number)
        except NotFoundError as error:
            raise UnusableSchemaError(f"no schema has the number {number}") from error
        try:
            return stored, resolved_shape(self._registry, stored, [])
        except UnusableSchemaError as error:
            raise UnusableSchemaError(f"schema {number} cannot be used: {error}") from error


def is_framed(value: bytes) -> bool:
    """Whether a record is in the wire format. No JSON text begins with a zero byte."""
    return len(value) >= HEADER.size and value[0] == 0


def resolved_shape(registry: Registry, stored: StoredSchema, schemas: list[Any]) -> Shape:
    """The shape of a schema and of all that it refers to; the referred schemas are added to `schemas`.

    Raises:
        UnusableSchemaError: it, or one that it refers to, is no Avro schema.
        ServiceError: the registry does not answer.
    """
    return _resolve(registry, stored, {}, set(), schemas)


def _resolve(
    registry: Registry, stored: StoredSchema, named: dict[str, Shape], seen: set[tuple[str, int]], schemas: list[Any]
) -> Shape:
    if stored.schema_type != "AVRO":
        raise UnusableSchemaError(f"it is {stored.schema_type}")
    for reference in stored.references:
        place = (reference.subject, reference.version)
        if place in seen:
            continue
        seen.add(place)
        try:
            if len(seen) > MAX_REFERENCES:
                raise UnusableSchemaError("it refers to too many schemas")
            referred = registry.referred(reference)
        except NotFoundError as error:
            raise UnusableSchemaError(f"{reference.subject} {reference.version} is missing") from error
        _resolve(registry, referred, named, seen, schemas)
        schemas.append(json.loads(referred.text))
    try:
        return shape_of(json.loads(stored.text, parse_constant=_no_constant), named)
    except UnusableSchemaError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a whole number of 4,300 digits
        raise UnusableSchemaError("it is no JSON") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def name_of(stored: StoredSchema) -> str:
    """Full name of a stored record schema; empty where it has none."""
    schema = json.loads(stored.text)
    if not isinstance(schema, Mapping):
        return ""
    found = cast("Mapping[str, Any]", schema)
    name, namespace = str(found.get("name", "")), found.get("namespace")
    return name if "." in name or not namespace else f"{namespace}.{name}"
