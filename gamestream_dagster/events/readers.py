"""Reads files of score events line by line: CSV, JSON lines (both also gzipped) and Parquet. Memory is bounded."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.events.event_types import score_event

MAX_LINE: Final = 1_048_576  # bytes: Kafka's own limit for a record
PARQUET_ROWS: Final = 2_000
_FIELDS: Final = score_event().fields
_REQUIRED: Final = tuple(name for name, field in _FIELDS.items() if field.required)


class ReadingError(Exception):
    """The file cannot be read, or not to its end; the message says why and what to do."""


class Line(NamedTuple):
    """One line of the file. Either `raw` (JSON as it stands) or `fields` (by column), or `problem` says why neither."""

    number: int  # first line of the file is 1; in Parquet: the row, from 1
    raw: bytes | None = None
    fields: dict[str, Any] | None = None
    problem: str | None = None


class Source(NamedTuple):
    """An open file: how much there is of it, and a way to go through it, told how far it has come."""

    size: int  # bytes; rows for Parquet
    lines: Callable[[Callable[[int], None]], Iterator[Line]]


def open_source(path: Path) -> Source:
    """Look at the file's name and choose the reader.

    Raises:
        ReadingError: no such file, or a kind that is not known.
    """
    if not path.is_file():
        raise ReadingError(f"There is no file {path}; give a CSV, JSON lines or Parquet file, or `nba` for the sample.")
    name = path.name.lower().removesuffix(".gz")
    match name.rpartition(".")[2]:
        case "csv":
            return Source(path.stat().st_size, lambda at: _guarded(path, _csv_lines(path, at)))
        case "jsonl" | "ndjson" | "json":
            return Source(path.stat().st_size, lambda at: _guarded(path, _json_lines(path, at)))
        case "parquet":
            return _parquet_source(path)
        case _:
            raise ReadingError(f"{path.name} is of no known kind; use .csv, .jsonl (both also .gz) or .parquet.")


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


def _bounded(path: Path, at: Callable[[int], None]) -> Iterator[tuple[bytes, bool]]:
    """Lines with their end, and False for a line over `MAX_LINE`, of which only the beginning is given."""
    with path.open("rb") as file:
        stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if path.name.lower().endswith(".gz") else file
        while line := stream.readline(MAX_LINE + 1):
            at(file.tell())
            if len(line) <= MAX_LINE:
                yield line, True
                continue
            while line and not line.endswith(b"\n"):
                rest = stream.readline(MAX_LINE)
                if not rest:
                    break
                line = line[:100] + rest[-1:]
            yield line[:100], False


def _json_lines(path: Path, at: Callable[[int], None]) -> Iterator[Line]:
    for number, (line, whole) in enumerate(_bounded(path, at), start=1):
        if not whole:
            yield Line(number, raw=line, problem=f"the line is longer than {MAX_LINE} bytes")
        elif stripped := line.strip():
            yield Line(number, raw=stripped)


def _csv_lines(path: Path, at: Callable[[int], None]) -> Iterator[Line]:
    cut: set[int] = set()

    def texts() -> Iterator[str]:
        for number, (line, whole) in enumerate(_bounded(path, at), start=1):
            if not whole:
                cut.add(number)
            yield line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")

    reader = csv.reader(texts(), strict=True)
    header = _csv_header(path, reader)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(reader.line_num, problem=f"not CSV: {error}")
            continue
        if reader.line_num in cut:
            cut.clear()
            yield Line(reader.line_num, problem=f"the line is longer than {MAX_LINE} bytes")
        elif len(row) != len(header):
            if row:
                yield Line(
                    reader.line_num,
                    fields=dict(zip(header, row, strict=False)),
                    problem=f"{len(row)} columns in place of {len(header)}",
                )
        else:
            yield Line(reader.line_num, fields=dict(zip(header, row, strict=True)))


def _csv_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next(reader)
    except StopIteration:
        raise ReadingError(f"{path} is empty; its first line should name the columns {', '.join(_FIELDS)}.") from None
    except csv.Error as error:
        raise ReadingError(f"{path} has no readable first line ({error}); it should name the columns.") from error
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise ReadingError(f"{path} lacks the columns {', '.join(missing)}; its first line names {', '.join(header)}.")
    return header


def _parquet_source(path: Path) -> Source:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise ReadingError(f"{path} is not a Parquet file that can be read ({error}).") from error
    names = file.schema_arrow.names
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise ReadingError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(names)}.")
    columns = [name for name in names if name in _FIELDS]

    def lines(at: Callable[[int], None]) -> Iterator[Line]:
        number = 0
        for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield Line(number, fields=row)
            at(number)

    return Source(file.metadata.num_rows, lambda at: _guarded(path, lines(at)))
