"""Reads files of score events line by line: CSV, JSON lines (both also gzipped) and Parquet, in bounded memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa

from gamestream_dagster.events import file_lines
from gamestream_dagster.events.csv_lines import csv_lines
from gamestream_dagster.events.file_lines import FIELDS, Line, Progress, ReadingError, Renames
from gamestream_dagster.events.parquet_rows import ParquetRows

__all__ = ["Line", "ReadingError", "Source", "open_source", "renames_of"]


class Source(NamedTuple):
    """An open file: its size, and an iterator over it that receives progress."""

    size: int  # bytes; rows for Parquet
    lines: Callable[[Progress], Iterator[Line]]


def renames_of(given: list[str]) -> Renames:
    """`column=field` pairs: a column of the file is one of our fields.

    Raises:
        ReadingError: a pair is malformed, or names no field of ours.
    """
    found: dict[str, str] = {}
    for pair in given:
        column, sign, name = (part.strip() for part in pair.rpartition("="))
        if not sign or not column or name not in FIELDS:
            raise ReadingError(
                f"--map {pair!r} cannot be used; write COLUMN=FIELD, such as player=user_id. The fields are "
                f"{', '.join(FIELDS)}."
            )
        if column in found or name in found.values():
            raise ReadingError(f"--map {pair!r}: the column or the field is named twice; name each once.")
        found[column] = name
    return found


def open_source(path: Path, renames: Renames | None = None) -> Source:
    """Choose the reader by the file's name.

    Raises:
        ReadingError: no such file, or an unknown kind.
    """
    size = _size_of(path)
    columns = renames or {}
    name = path.name.lower().removesuffix(".gz")
    match name.rpartition(".")[2]:
        case "csv":
            return Source(size, lambda at: _guarded(path, csv_lines(path, at, columns)))
        case "jsonl" | "ndjson" | "json":
            return Source(size, lambda at: _guarded(path, _json_lines(path, at, columns)))
        case "parquet":
            rows = ParquetRows(path, columns)
            return Source(rows.size, lambda at: _guarded(path, rows.lines(at)))
        case _:
            raise ReadingError(f"{path.name} is of no known kind; use .csv, .jsonl (both also .gz) or .parquet.")


def _size_of(path: Path) -> int:
    try:
        if path.is_file():
            size = path.stat().st_size
            if not size:
                raise ReadingError(f"{path} is empty; fetch or write it anew.")
            return size
        what = f"{path} is a folder" if path.is_dir() else f"{path} is no regular file"
        what = what if path.exists() else f"There is no file {path}"
    except (OSError, ValueError) as error:
        raise ReadingError(f"{path} cannot be looked at ({error}); give another file, or mend its rights.") from error
    raise ReadingError(f"{what}; give a CSV, JSON lines or Parquet file, or `nba` for the sample.")


def _guarded(path: Path, lines: Iterator[Line]) -> Iterator[Line]:
    try:
        yield from lines
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ReadingError(
            f"{path} is damaged ({error}): what stood before the damage was read; fetch it anew."
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise ReadingError(
            f"{path} cannot be read to its end ({error}); mend or fetch it, then replay again."
        ) from error


def _json_lines(path: Path, at: Progress, renames: Renames) -> Iterator[Line]:
    for number, line, whole in file_lines.physical_lines(path, at):
        if not whole:
            yield Line(number, raw=line, problem=f"the line is longer than {file_lines.MAX_LINE} bytes")
        elif stripped := line.strip():
            yield Line(number, raw=_renamed(stripped, renames) if renames else stripped)
        else:
            yield Line(number, blank=True)


def _renamed(line: bytes, renames: Renames) -> bytes:
    """The object with renamed keys; anything but an object is returned unchanged and refused later with its reason."""
    try:
        if not isinstance(orjson.loads(line), dict):
            return line
    except orjson.JSONDecodeError:
        return line
    # Numbers keep their text: -0, or an integer beyond 64 bits, would be sent as another number.
    found = json.loads(line.decode(), parse_int=orjson.Fragment, parse_float=orjson.Fragment)
    moved = {renames[name]: value for name, value in found.items() if name in renames}
    return orjson.dumps({name: value for name, value in found.items() if name not in renames} | moved)
