"""Avro records of game events as documents, such as the reader of JSON gives: `catalogue.game_rules` states the rules.

The same rules as platform/flink_formats/gamestream/AvroDocument.java: a test runs both over the same records.
"""

from __future__ import annotations

import math
import struct
import uuid
from decimal import Context, Decimal
from typing import Final

from gamestream_dagster.catalogue.game_event import GameCatalogue, RecordLimits
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.avro_reading import NotAvroError, NotUtf8Error, branch, moved, varint
from gamestream_dagster.events.avro_schemas import HEADER, WriterSchemas
from gamestream_dagster.events.avro_shape import Kind, Shape
from gamestream_dagster.events.strict_json import BigInteger, Json

_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_DIVISORS: Final = {
    "timestamp-micros": 1_000,
    "local-timestamp-micros": 1_000,
    "timestamp-nanos": 1_000_000,
    "local-timestamp-nanos": 1_000_000,
}
_TYPE: Final = "event_type"
_EXACT: Final = Context(prec=200, Emin=-999_999, Emax=999_999)


class AvroDocuments:
    """Reads game events in the Confluent wire format.

    Args:
        catalogue: its limits hold here, too, and its type names.
        registry: where the schemas are.
    """

    def __init__(self, catalogue: GameCatalogue, registry: Registry) -> None:
        self._schemas: WriterSchemas[Shape] = WriterSchemas(registry, lambda _, shape: shape)
        self._limits = catalogue.limits
        self._type_names = (_TYPE, *catalogue.fields[_TYPE].synonyms)
        self._types = {_plain(name): name for event in catalogue.types.values() for name in event.names}

    def read(self, value: bytes) -> dict[str, Json]:
        """The document of a record that `is_framed`.

        Raises:
            UnusableSchemaError: its schema cannot be used.
            NotUtf8Error: one of its texts is not UTF-8.
            NotAvroError: it is no record of its schema, or beyond the limits.
            AvroFormatError: the registry does not answer, which says nothing about the record.
        """
        shape, at = self._schemas.of(value), HEADER.size
        if shape.kind is Kind.UNION:
            place, at = branch(value, at, len(shape.parts))
            shape = shape.parts[place]
        if shape.kind is not Kind.RECORD:
            raise NotAvroError("not a record")
        document, end = _Reading(value, self._limits).record(shape, at, 1)
        if end != len(value):
            raise NotAvroError("bytes follow the record")
        sent = [document.get(name) for name in self._type_names]
        if all(one is None or one == "" for one in sent):
            simple = shape.full_name.rpartition(".")[2]
            document[_TYPE] = self._types.get(_plain(simple), simple)
        return document


def _plain(name: str) -> str:
    """`PlayerHealth`, `Player_Health` and `player_health` are one."""
    return name.replace("_", "").lower()


class _Reading:
    """One record on its way to a document. A method takes a place in the bytes and returns the place behind it."""

    def __init__(self, data: bytes, limits: RecordLimits) -> None:
        self._data = data
        self._limits = limits

    def record(self, shape: Shape, at: int, depth: int) -> tuple[dict[str, Json], int]:
        """Fields that take no bytes are left out: they are nulls, and a few bytes could hold any number of them."""
        self._check_depth(depth)
        found: dict[str, Json] = {}
        for name, part, logical in zip(shape.names, shape.parts, shape.field_logical_types, strict=True):
            if not part.takes_no_bytes:
                found[name], at = self._value(part, at, depth, logical)
        return found, at

    def _value(self, shape: Shape, at: int, depth: int, field_logical: str = "") -> tuple[Json, int]:
        logical = shape.logical_type or field_logical
        match shape.kind:
            case Kind.NULL:
                return None, at
            case Kind.BOOLEAN:
                end = moved(self._data, at, 1)
                return self._data[at] != 0, end
            case Kind.INT | Kind.LONG:
                number, at = varint(self._data, at)
                if shape.kind is Kind.INT and not -(2**31) <= number < 2**31:
                    raise NotAvroError("an int has more than 32 bits")
                return number // (_DIVISORS.get(logical, 1) if shape.kind is Kind.LONG else 1), at
            case Kind.FLOAT:
                return self._real(_FLOAT, (6, 7, 8, 9), at)
            case Kind.DOUBLE:
                return self._real(_DOUBLE, (15, 16, 17), at)
            case Kind.STRING | Kind.BYTES:
                length, at = varint(self._data, at)
                raw, at = self._taken(at, length)
                return self._decimal(raw, shape) if logical == "decimal" else _text(raw), at
            case Kind.FIXED:
                raw, at = self._taken(at, shape.size)
                return self._fixed(raw, shape, logical), at
            case Kind.ENUM:
                place, at = branch(self._data, at, len(shape.symbols))
                return shape.symbols[place], at
            case Kind.UNION:
                place, at = branch(self._data, at, len(shape.parts))
                part = shape.parts[place]
                return (None, at) if part.takes_no_bytes else self._value(part, at, depth, field_logical)
            case Kind.RECORD:
                return self.record(shape, at, depth + 1)
            case Kind.ARRAY | Kind.MAP:
                self._check_depth(depth + 1)
                return self._items(shape, at, depth + 1)

    def _items(self, shape: Shape, at: int, depth: int) -> tuple[Json, int]:
        items: list[Json] = []
        named: dict[str, Json] = {}
        part, data = shape.parts[0], self._data
        while True:
            count, at = varint(data, at)
            if not count:
                return (named if shape.kind is Kind.MAP else items), at
            if count < 0:
                count = -count
                at = varint(data, at)[1]  # the block's size in bytes
            if count > len(data) - at:
                raise NotAvroError("a block has more items than bytes")
            if shape.kind is Kind.ARRAY and part.takes_no_bytes:
                continue
            for _ in range(count):
                if shape.kind is Kind.ARRAY:
                    item, at = self._value(part, at, depth)
                    items.append(item)
                    continue
                length, at = varint(data, at)
                raw, at = self._taken(at, length)
                name = _text(raw)
                named[name], at = (None, at) if part.takes_no_bytes else self._value(part, at, depth)

    def _taken(self, at: int, length: int) -> tuple[bytes, int]:
        end = moved(self._data, at, length)
        return self._data[at:end], end

    def _real(self, form: struct.Struct, digits: tuple[int, ...], at: int) -> tuple[Decimal, int]:
        end = moved(self._data, at, form.size)
        number: float = form.unpack_from(self._data, at)[0]
        limit = self._limits.number_exponent
        if not math.isfinite(number) or 0 < abs(number) < 10.0**-limit:
            raise NotAvroError(f"a number is NaN, infinite, or has an exponent beyond {limit}")
        texts = (f"{number:.{count - 1}e}" for count in digits)
        # as many significant digits as tell it from its neighbours: 0.1, whose exact value has 55
        return Decimal(next(text for text in texts if form.unpack(form.pack(float(text)))[0] == number)), end

    def _fixed(self, raw: bytes, shape: Shape, logical: str) -> Json:
        if logical == "decimal":
            return self._decimal(raw, shape)
        return str(uuid.UUID(bytes=raw)) if logical == "uuid" and len(raw) == 16 else None

    def _decimal(self, raw: bytes, shape: Shape) -> Json:
        """Exact, within the limits of numbers in JSON."""
        most = self._limits.number_characters
        unscaled = int.from_bytes(raw, "big", signed=True) if len(raw) <= most else None
        if unscaled is None or len(str(unscaled)) > most:
            raise NotAvroError(f"a number has more than {most} characters")
        if not 0 <= shape.scale <= self._limits.number_exponent:
            raise NotAvroError("a decimal has no usable scale")
        if shape.scale:
            return Decimal(unscaled).scaleb(-shape.scale, _EXACT)
        return unscaled if -(2**63) <= unscaled < 2**63 else BigInteger(unscaled)

    def _check_depth(self, depth: int) -> None:
        if depth > self._limits.depth:
            raise NotAvroError(f"nested deeper than {self._limits.depth}; make it flatter")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8Error("a text is not UTF-8") from error
