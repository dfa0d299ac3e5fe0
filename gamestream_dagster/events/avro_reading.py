"""Reads one Avro record by its writer's schema, like the streaming jobs.

Texts come from strings, bytes, enums, whole numbers and fixed UUIDs; whole numbers from `int`, `long` and texts of
digits; times in microseconds or nanoseconds become milliseconds. A field that is absent or has another type is
null. The same rules as platform/flink_formats/gamestream/AvroReading.java: a test runs both over the same records.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection
from typing import Any, Final

from gamestream_dagster.events.avro_shape import MAX_DEPTH, Kind, Shape

_CANONICAL: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DIVISORS: Final = {
    "timestamp-micros": 1_000,
    "local-timestamp-micros": 1_000,
    "timestamp-nanos": 1_000_000,
    "local-timestamp-nanos": 1_000_000,
}

Read = Callable[[bytes, int], tuple[Any, int]]  # data and place to value and next place
RecordReader = Callable[[bytes, int], dict[str, Any]]


class NotAvroError(ValueError):
    """The bytes are not a record of the schema."""


class NotUtf8Error(NotAvroError):
    """A required text is not UTF-8."""


def record_reader(shape: Shape, texts: Collection[str], numbers: Collection[str]) -> RecordReader:
    """A function that reads a record from a position in some bytes to their end.

    Args:
        shape: the writer's schema.
        texts: fields wanted as text.
        numbers: fields wanted as 64-bit integers.

    Returns:
        A function from bytes and position to the wanted fields by name; it raises `NotAvroError`. A field that is
        is neither text nor number has the value `UNREADABLE`.
    """
    branches = shape.parts if shape.kind is Kind.UNION else (shape,)
    plans = [_plan(branch, texts, numbers) if branch.kind is Kind.RECORD else None for branch in branches]
    is_union = shape.kind is Kind.UNION

    def read(data: bytes, at: int) -> dict[str, Any]:
        place = 0
        if is_union:
            place, at = branch(data, at, len(plans))
        plan = plans[place]
        if plan is None:
            raise NotAvroError("not a record")
        fields: dict[str, Any] = {}
        for name, take in plan:
            value, at = take(data, at)
            if name is not None:
                fields[name] = value
        if at != len(data):
            raise NotAvroError("bytes follow the record")
        return fields

    return read


class Unreadable:
    """Marks a value of a type that is neither text nor whole number."""

    def __str__(self) -> str:
        return "a value of another type"


UNREADABLE: Final = Unreadable()


def _plan(shape: Shape, texts: Collection[str], numbers: Collection[str]) -> list[tuple[str | None, Read]]:
    plan: list[tuple[str | None, Read]] = []
    for name, logical, part in zip(shape.names, shape.field_logical_types, shape.parts, strict=True):
        if name in texts or name in numbers:
            plan.append((name, _reader(part, logical, number=name in numbers)))
        else:
            plan.append((None, _skipper(part, 1)))
    return plan


def _reader(shape: Shape, field_logical: str, *, number: bool) -> Read:
    logical = shape.logical_type or field_logical
    match shape.kind:
        case Kind.STRING:
            return _read_digits if number else _read_text
        case Kind.INT | Kind.LONG:
            return _integer_reader(shape.kind, logical, number=number)
        case Kind.UNION:
            return _union_reader([_reader(part, field_logical, number=number) for part in shape.parts])
        case Kind.NULL:
            return lambda _, at: (None, at)
        case Kind.BYTES if logical != "decimal":
            return _read_digits if number else _read_text
        case Kind.ENUM if not number:
            return lambda data, at: _symbol(data, at, shape)
        case Kind.FIXED if not number and shape.size == 16 and logical == "uuid":
            return _read_uuid
        case _:
            skip = _skipper(shape, 1)
            return lambda data, at: (UNREADABLE, skip(data, at)[1])


def _union_reader(branches: list[Read]) -> Read:
    count = len(branches)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        place, at = branch(data, at, count)
        return branches[place](data, at)

    return read


def _integer_reader(kind: Kind, logical: str, *, number: bool) -> Read:
    divisor = _DIVISORS.get(logical, 1) if kind is Kind.LONG and number else 1

    def read(data: bytes, at: int) -> tuple[Any, int]:
        value, at = varint(data, at)
        if kind is Kind.INT and not -(2**31) <= value < 2**31:
            raise NotAvroError("an int has more than 32 bits")
        return (value // divisor if number else str(value)), at

    return read


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    length, at = varint(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise NotAvroError("cut short")
    try:
        return data[at:end].decode(), end
    except UnicodeDecodeError as error:
        raise NotUtf8Error("a text is not UTF-8") from error


def _read_digits(data: bytes, at: int) -> tuple[int | str, int]:
    """The whole number if the text is its canonical form and fits 64 bits, else the text."""
    text, at = _read_text(data, at)
    if _CANONICAL.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text), at
    return text, at


def _read_uuid(data: bytes, at: int) -> tuple[str, int]:
    end = moved(data, at, 16)
    return str(uuid.UUID(bytes=data[at:end])), end


def _symbol(data: bytes, at: int, shape: Shape) -> tuple[str, int]:
    place, at = branch(data, at, len(shape.symbols))
    return shape.symbols[place], at


def _skipper(shape: Shape, depth: int) -> Read:
    return lambda data, at: (None, _skip(shape, data, at, depth))


def is_whole(shape: Shape, data: bytes, at: int) -> bool:
    """Whether the bytes from a position to their end are one value of a shape, within our nesting limit."""
    try:
        return _skip(shape, data, at, 1) == len(data)
    except NotAvroError:
        return False


def grows_without_bytes(shape: Shape, seen: set[int] | None = None) -> bool:
    """Whether a few bytes can encode any number of parts: nulls in arrays, or nested records."""
    seen = set() if seen is None else seen
    if id(shape) in seen:
        return False
    seen.add(id(shape))
    if shape.kind in {Kind.ARRAY, Kind.RECORD} and any(
        part.takes_no_bytes and (shape.kind is Kind.ARRAY or part.kind is Kind.RECORD) for part in shape.parts
    ):
        return True
    return any(grows_without_bytes(part, seen) for part in shape.parts)


def _skip(shape: Shape, data: bytes, at: int, depth: int) -> int:
    match shape.kind:
        case Kind.NULL:
            return at
        case Kind.BOOLEAN:
            return moved(data, at, 1)
        case Kind.INT | Kind.LONG:
            return varint(data, at)[1]
        case Kind.FLOAT:
            return moved(data, at, 4)
        case Kind.DOUBLE:
            return moved(data, at, 8)
        case Kind.BYTES | Kind.STRING:
            length, at = varint(data, at)
            return moved(data, at, length)
        case Kind.FIXED:
            return moved(data, at, shape.size)
        case Kind.ENUM:
            return branch(data, at, len(shape.symbols))[1]
        case Kind.UNION | Kind.RECORD | Kind.ARRAY | Kind.MAP:
            if depth > MAX_DEPTH:
                raise NotAvroError("nested too deeply")
            return _skip_parts(shape, data, at, depth)


def _skip_parts(shape: Shape, data: bytes, at: int, depth: int) -> int:
    if shape.kind is Kind.UNION:
        place, at = branch(data, at, len(shape.parts))
        return _skip(shape.parts[place], data, at, depth + 1)
    if shape.kind is Kind.RECORD:
        if shape.takes_no_bytes:
            return at  # records of records of nulls: twice as many at each depth
        for part in shape.parts:
            at = _skip(part, data, at, depth + 1)
        return at
    while True:
        count, at = varint(data, at)
        if not count:
            return at
        if count < 0:
            count = -count
            at = varint(data, at)[1]  # the block's size in bytes
        # fewer bytes than items: also an endless array of nulls
        if count > len(data) - at:
            raise NotAvroError("a block has more items than bytes")
        if shape.kind is Kind.ARRAY and shape.parts[0].takes_no_bytes:
            continue  # many small blocks of many such items would never finish
        for _ in range(count):
            if shape.kind is Kind.MAP:
                length, at = varint(data, at)
                at = moved(data, at, length)
            at = _skip(shape.parts[0], data, at, depth + 1)


def branch(data: bytes, at: int, count: int) -> tuple[int, int]:
    """A branch's or symbol's place."""
    place, at = varint(data, at)
    if not 0 <= place < count:
        raise NotAvroError("no such branch or symbol")
    return place, at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, and the place behind it."""
    try:
        byte = data[at]
        if byte < 0x80:  # the common case
            return (byte >> 1) ^ -(byte & 1), at + 1
        found, shift = byte & 0x7F, 7
        for place in range(at + 1, at + 10):
            byte = data[place]
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                found &= 0xFFFF_FFFF_FFFF_FFFF
                return (found >> 1) ^ -(found & 1), place + 1
            shift += 7
    except IndexError:
        raise NotAvroError("cut short") from None
    raise NotAvroError("a number has more than ten bytes")


def moved(data: bytes, at: int, length: int) -> int:
    """The place behind so many bytes, which must be there."""
    if length < 0 or length > len(data) - at:
        raise NotAvroError("cut short")
    return at + length
