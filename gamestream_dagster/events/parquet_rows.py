"""Rows of a Parquet file. The meaning of a column's type decides how it is read; other values get a reason.

Values leave Arrow as integers and bytes, never as Python dates, which end with the year 9999.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from gamestream_dagster.events.file_lines import FIELDS, Line, Progress, ReadingError, Renames, check_columns

PARQUET_ROWS: Final = 2_000
_EXACT_DOUBLE: Final = 2**53  # up to here a double represents every whole number exactly
_PER_MILLI: Final = {"us": 1_000, "ns": 1_000_000}
_MILLIS: Final = {"s": 1_000, "ms": 1}
_DAY_MILLIS: Final = 86_400_000


class Unreadable(NamedTuple):
    """A value that is neither a text nor a number that we read."""

    kind: str


Meaning = Callable[[Any], Any]


class ParquetRows:
    """An open Parquet file of score events.

    Raises:
        ReadingError: it is not a Parquet file, or lacks a column.
    """

    def __init__(self, path: Path, renames: Renames) -> None:
        try:
            # old writers' INT96 times as microseconds: as nanoseconds, years after 2262 would wrap
            self._file = pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
        except (OSError, pa.ArrowException) as error:
            raise ReadingError(
                f"{path} is not a Parquet file that can be read ({error}); fetch or write it anew."
            ) from error
        names = self._file.schema_arrow.names
        renamed = check_columns(path, names, renames)
        self._names = {old: new for old, new in zip(names, renamed, strict=True) if new in FIELDS}
        schema = self._file.schema
        kinds = {schema.column(place).path: schema.column(place).logical_type.type for place in range(len(schema))}
        self._uuids = {name for name in names if kinds.get(name) == "UUID"}
        self.size: int = self._file.metadata.num_rows

    def lines(self, at: Progress) -> Iterator[Line]:
        """The rows, in order."""
        number = 0
        for batch in self._file.iter_batches(batch_size=PARQUET_ROWS, columns=list(self._names)):
            columns = {
                self._names[name]: _uuids(column) if name in self._uuids else _values(column)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            for row in zip(*columns.values(), strict=True):
                number += 1
                yield _line(number, dict(zip(columns, row, strict=True)))
            at(number)


def _line(number: int, fields: dict[str, Any]) -> Line:
    for name, value in fields.items():
        if isinstance(value, Unreadable):
            return Line(
                number, fields=fields, problem=f"{name} is of the type {value.kind}, which holds no {_wanted(name)}"
            )
    return Line(number, fields=fields)


def _wanted(name: str) -> str:
    return {"score": "whole number", "event_time_millis": "time"}.get(name, "text")


def _values(column: pa.Array) -> list[Any]:
    """The values as texts, integers or None."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _values(column.storage)
    if types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if types.is_string(kind) or types.is_binary(kind):
        return _mapped(column.cast(pa.binary()).to_pylist(), _text)
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _mapped(column.cast(pa.large_binary()).to_pylist(), _text)
    if types.is_fixed_size_binary(kind):
        return _mapped(column.to_pylist(), _text)
    if types.is_integer(kind) or types.is_null(kind):
        return column.to_pylist()
    if types.is_timestamp(kind):
        return _mapped(column.cast(pa.int64()).to_pylist(), _time_of(kind.unit))
    if types.is_date32(kind):
        return _mapped(column.cast(pa.int32()).to_pylist(), lambda days: days * _DAY_MILLIS)
    if types.is_date64(kind):
        return column.cast(pa.int64()).to_pylist()
    if types.is_floating(kind):
        return _mapped(column.cast(pa.float64()).to_pylist(), _whole)
    if types.is_decimal(kind):
        return _mapped(column.to_pylist(), _of_decimal)
    return [Unreadable(str(kind)) if valid else None for valid in column.is_valid().to_pylist()]


def _uuids(column: pa.Array) -> list[Any]:
    raw = column.storage if isinstance(column, pa.ExtensionArray) else column
    return _mapped(raw.to_pylist(), lambda value: str(uuid.UUID(bytes=value)))


def _mapped(values: list[Any], meaning: Meaning) -> list[Any]:
    return [None if value is None else meaning(value) for value in values]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # what is not a text is refused later, as in a CSV file


def _time_of(unit: str) -> Meaning:
    if unit in _MILLIS:
        return lambda value: value * _MILLIS[unit]
    return lambda value: value // _PER_MILLI[unit]


def _whole(value: float) -> int | str | None:
    """A whole number where the double is one; None for NaN, which data frames write for absent values."""
    if value != value:  # noqa: PLR0124 - NaN
        return None
    return int(value) if abs(value) <= _EXACT_DOUBLE and value == int(value) else repr(value)


def _of_decimal(value: Decimal) -> int | str:
    return int(value) if value == value.to_integral_value() else str(value)
