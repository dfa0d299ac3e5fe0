"""Rows of a CSV file, one physical line at a time: a quote that never closes costs one line, not the rest."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gamestream_dagster.events import file_lines
from gamestream_dagster.events.file_lines import FIELDS, Line, Progress, ReadingError, Renames, check_columns

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")  # start of such a file
MAX_ROW_LINES: Final = 32  # a quoted text may contain line ends, but a row is never longer


class _Physical(NamedTuple):
    number: int
    raw: bytes
    whole: bool

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "surrogateescape")


class _Lines:
    """Physical lines with lookahead."""

    def __init__(self, path: Path, at: Progress) -> None:
        self._source = (_Physical(*line) for line in file_lines.physical_lines(path, at))
        self._ahead: deque[_Physical] = deque()

    def take(self, count: int = 1) -> _Physical | None:
        """The next line; `count` consumes the following lines too."""
        first = self.look(0)
        for _ in range(count):
            if self._ahead:
                self._ahead.popleft()
        return first

    def look(self, place: int) -> _Physical | None:
        """The line `place` lines ahead; None after the end."""
        while len(self._ahead) <= place:
            line = next(self._source, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[place]


def csv_lines(path: Path, at: Progress, renames: Renames) -> Iterator[Line]:
    """The rows after the header, each bad one with its fault.

    Raises:
        ReadingError: the header is missing or does not name the columns.
    """
    lines = _Lines(path, at)
    header = _header(path, lines, renames)
    while (first := lines.look(0)) is not None:
        row, count, problem = _row(lines, first, len(header))
        lines.take(count)
        if problem:
            fields = dict(zip(header, row, strict=False)) if row else None
            yield Line(first.number, raw=first.raw, fields=fields, problem=problem)
        elif not row:
            yield Line(first.number, blank=True)
        else:
            yield Line(first.number, fields=dict(zip(header, row, strict=True)))


def _header(path: Path, lines: _Lines, renames: Renames) -> list[str]:
    first = lines.take()
    while first is not None and not first.raw.strip():
        first = lines.take()
    if first is None:
        raise ReadingError(f"{path} is empty; its first line should name the columns {', '.join(FIELDS)}.")
    if first.raw[:2] in _UTF16:
        raise ReadingError(f"{path} is UTF-16; save it as UTF-8, then replay it again.")
    try:
        (names,) = csv.reader([first.text], strict=True)
    except (csv.Error, ValueError) as error:
        raise ReadingError(
            f"{path} has no readable first line ({error}); it should name the columns, and lines should end with a "
            "line feed."
        ) from error
    return check_columns(path, [name.strip() for name in names], renames)


def _row(lines: _Lines, first: _Physical, width: int) -> tuple[list[str], int, str | None]:
    """The row that starts at `first`, how many lines it takes, and its fault."""
    if not first.whole:
        return [], 1, f"the line is longer than {file_lines.MAX_LINE} bytes"
    row, problem, is_open = _parsed(first.text)
    if is_open:
        joined = _continued(lines, first, width)
        if joined is not None:
            return *joined, None
        return [], 1, "a quotation mark opens and does not close"
    if problem is None and row and len(row) != width:
        problem = f"{len(row)} columns in place of {width}"
    return row, 1, problem


def _continued(lines: _Lines, first: _Physical, width: int) -> tuple[list[str], int] | None:
    """A row whose quoted text contains line ends; None for a stray quotation mark."""
    text = first.text
    for count in range(1, MAX_ROW_LINES):
        more = lines.look(count)
        if more is None or not more.whole or len(text) > file_lines.MAX_LINE or _is_row(more.text, width):
            return None
        text += more.text
        row, problem, is_open = _parsed(text)
        if not is_open:
            return (row, count + 1) if problem is None and len(row) == width else None
    return None


def _is_row(text: str, width: int) -> bool:
    """Whether a line is a complete row: then it does not continue the text before it."""
    row, problem, _ = _parsed(text)
    return problem is None and len(row) == width and text.count('"') % 2 == 0


def _parsed(text: str) -> tuple[list[str], str | None, bool]:
    """The columns, the fault, and whether a quotation mark is still open at the end."""
    try:
        rows = list(csv.reader([text], strict=True))  # a line end within quotation marks is an ordinary character
    except csv.Error as error:
        return [], f"not CSV: {error}", "unexpected end of data" in str(error)
    return (rows[0] if rows else []), None, False
