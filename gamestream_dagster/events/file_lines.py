"""What the readers of files share: the lines that they give, and bounded reading from plain or gzipped files."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from gamestream_dagster.catalogue.event_type import score_event
from gamestream_dagster.errors import GamestreamError

MAX_LINE: Final = 1_048_576  # bytes: Kafka's own limit for a record
FIELDS: Final = score_event().fields
REQUIRED: Final = tuple(name for name, field in FIELDS.items() if field.required)
GZIP_MARK: Final = b"\x1f\x8b"
UTF8_MARK: Final = b"\xef\xbb\xbf"


class ReadingError(GamestreamError):
    """The file cannot be read, or not to its end; the message says why and what to do."""


class Line(NamedTuple):
    """One line: `raw` (JSON as it stands) or `fields` (by column) hold the event, or `problem` says why not."""

    number: int  # first line of the file is 1; in Parquet: the row, from 1
    raw: bytes | None = None
    fields: dict[str, Any] | None = None
    problem: str | None = None
    blank: bool = False


Progress = Callable[[int], None]
Renames = Mapping[str, str]  # a column of the file to a field of ours


def physical_lines(path: Path, at: Progress) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes with their end, and False for a line over `MAX_LINE`, of which only the beginning is given."""
    with path.open("rb") as file:
        packed = file.peek(2)[:2] == GZIP_MARK or path.name.lower().endswith(".gz")
        stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file
        for number, line, whole in bounded_lines(stream):
            at(file.tell())
            yield number, line.removeprefix(UTF8_MARK) if number == 1 else line, whole


def bounded_lines(stream: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, bytes, bool]]:
    """The same for a stream."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) <= MAX_LINE:
            yield number, line, True
            continue
        yield number, line[:100], False
        while not line.endswith(b"\n"):
            if not (rest := stream.readline(MAX_LINE)):
                break
            line = rest


def check_columns(path: Path, names: Sequence[str], renames: Renames) -> list[str]:
    """The names of a file's columns, renamed to our fields; a column that a renamed one replaces becomes ``.

    Raises:
        ReadingError: a column is missing, is there twice, or is to be renamed and is not there.
    """
    shown = ", ".join(name[:40] for name in names[:30])
    for column in renames:
        if column not in names:
            raise ReadingError(f"{path} has no column {column}, which --map names; it has {shown}.")
    replaced = set(renames.values())
    renamed = [renames.get(name, "" if name in replaced else name) for name in names]
    twice = [name for name in FIELDS if renamed.count(name) > 1]
    if twice:
        raise ReadingError(f"{path} has the column {twice[0]} twice; remove or rename one of them.")
    missing = [name for name in REQUIRED if name not in renamed]
    if missing:
        raise ReadingError(
            f"{path} lacks the columns {', '.join(missing)}; it has {shown}. Rename a column with "
            f"--map COLUMN={missing[0]}, or mend the first line."
        )
    return renamed
