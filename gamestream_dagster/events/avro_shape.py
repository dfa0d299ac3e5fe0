"""A writer's Avro schema, reduced to what reading needs.

The same rules as platform/flink_formats/gamestream/AvroShape.java: a test runs both over the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

MAX_DEPTH: Final = 64


class Kind(StrEnum):
    """Avro's types."""

    NULL = "null"
    BOOLEAN = "boolean"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    BYTES = "bytes"
    STRING = "string"
    FIXED = "fixed"
    ENUM = "enum"
    ARRAY = "array"
    MAP = "map"
    UNION = "union"
    RECORD = "record"


_PRIMITIVES: Final = frozenset(
    {Kind.NULL, Kind.BOOLEAN, Kind.INT, Kind.LONG, Kind.FLOAT, Kind.DOUBLE, Kind.BYTES, Kind.STRING}
)


class UnusableSchemaError(ValueError):
    """The schema is not an Avro schema: nothing written with it can be read."""


@dataclass(eq=False, repr=False)  # a recursive type refers to itself
class Shape:
    """One type of a schema. Filled in after creation, since a type may refer to itself."""

    kind: Kind
    logical_type: str = ""
    size: int = 0
    """Bytes of a fixed."""
    scale: int = 0
    """Places of a decimal; -1: the schema's is none."""
    full_name: str = ""
    """Of a record, with its namespace."""
    symbols: tuple[str, ...] = ()
    """Of an enum."""
    names: tuple[str, ...] = ()
    """Of a record's fields."""
    field_logical_types: tuple[str, ...] = ()
    """Some producers put the logical type beside the field's type."""
    parts: tuple[Shape, ...] = field(default=())
    """Fields, branches, or the items of an array or a map."""
    _no_bytes: bool | None = None

    @property
    def takes_no_bytes(self) -> bool:
        """Whether a value takes no byte: nulls, and records of nulls."""
        if self._no_bytes is None:
            self._no_bytes = False  # a record that contains itself never ends
            self._no_bytes = (
                self.kind is Kind.NULL
                or (self.kind is Kind.FIXED and self.size == 0)
                or (self.kind is Kind.RECORD and all(part.takes_no_bytes for part in self.parts))
            )
        return self._no_bytes


def shape_of(schema: Any, named: dict[str, Shape]) -> Shape:
    """The shape of a schema.

    Args:
        schema: parsed JSON.
        named: named types by full name; those of `schema` are added.

    Raises:
        UnusableSchemaError: it is not an Avro schema.
    """
    return _shape(schema, "", named, 0)


def _shape(schema: Any, space: str, named: dict[str, Shape], depth: int) -> Shape:
    if schema is None or depth > MAX_DEPTH:
        raise UnusableSchemaError("a type is missing or nested too deeply")
    if isinstance(schema, str):
        return _by_name(schema, space, named)
    if isinstance(schema, list):
        return Shape(Kind.UNION, parts=tuple(_shape(one, space, named, depth + 1) for one in schema))
    if not isinstance(schema, Mapping):
        raise UnusableSchemaError("a type is neither a name nor an object")
    kind = schema.get("type")
    if not isinstance(kind, str):
        return _shape(kind, space, named, depth + 1)
    match kind:
        case "record" | "error":
            return _record(schema, space, named, depth)
        case "enum":
            symbols = tuple(str(one) for one in _listed(schema, "symbols"))
            return _named(schema, space, named, Shape(Kind.ENUM, symbols=symbols))
        case "fixed":
            return _fixed(schema, space, named)
        case "array" | "map":
            item = schema.get("items" if kind == "array" else "values")
            return Shape(Kind(kind), parts=(_shape(item, space, named, depth + 1),))
        case _:
            found = _by_name(kind, space, named)
            if kind in _PRIMITIVES:
                found.logical_type = _text(schema, "logicalType")
                found.scale = _scale(schema)
            return found


def _by_name(name: str, space: str, named: Mapping[str, Shape]) -> Shape:
    if name in _PRIMITIVES:
        return Shape(Kind(name))
    found = named.get(name if "." in name or not space else f"{space}.{name}") or named.get(name)
    if found is None:
        raise UnusableSchemaError(f"no type has the name {name}")
    return found


def _record(schema: Mapping[str, Any], space: str, named: dict[str, Shape], depth: int) -> Shape:
    shape = Shape(Kind.RECORD)
    full_name = _full_name(schema, space)
    shape.full_name = full_name
    named[full_name] = shape  # before its fields, which may refer to it
    inner = full_name.rpartition(".")[0]
    fields = _listed(schema, "fields")
    if not all(isinstance(one, Mapping) for one in fields):
        raise UnusableSchemaError("a field is not an object")
    shape.names = tuple(_text(one, "name") for one in fields)
    shape.field_logical_types = tuple(_text(one, "logicalType") for one in fields)
    shape.parts = tuple(_shape(one.get("type"), inner, named, depth + 1) for one in fields)
    return shape


def _fixed(schema: Mapping[str, Any], space: str, named: dict[str, Shape]) -> Shape:
    size = schema.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**31:
        raise UnusableSchemaError("a fixed has no size")
    return _named(schema, space, named, Shape(Kind.FIXED, _text(schema, "logicalType"), size, scale=_scale(schema)))


def _scale(schema: Mapping[str, Any]) -> int:
    found = schema.get("scale", 0)
    return found if type(found) is int and 0 <= found < 2**31 else -1


def _named(schema: Mapping[str, Any], space: str, named: dict[str, Shape], shape: Shape) -> Shape:
    named[_full_name(schema, space)] = shape
    return shape


def _full_name(schema: Mapping[str, Any], space: str) -> str:
    name = _text(schema, "name")
    if not name:
        raise UnusableSchemaError("a type has no name")
    if "." in name:
        return name
    given = _text(schema, "namespace") if "namespace" in schema else space
    return f"{given}.{name}" if given else name


def _listed(schema: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = schema.get(name)
    if not isinstance(found, list):
        raise UnusableSchemaError(f"{name} is no list")
    return found


def _text(node: Mapping[str, Any], name: str) -> str:
    found = node.get(name)
    return found if isinstance(found, str) else ""
