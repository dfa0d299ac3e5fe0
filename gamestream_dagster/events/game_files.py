"""Files of game events: JSON lines, or one JSON array, both also packed by gzip or zstd. Holds one event at a time."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

import zstandard

from gamestream_dagster.events.file_lines import GZIP_MARK, MAX_LINE, UTF8_MARK, ReadingError, bounded_lines

ZSTD_MARK: Final = b"\x28\xb5\x2f\xfd"

_OTHER_MARKS: Final = {
    b"PAR1": "a Parquet file",
    b"Obj\x01": "an Avro file",
    b"PK\x03\x04": "a zip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
}
_MARK_BYTES: Final = 6
_ZSTD_WINDOW: Final = 128 << 20  # bytes of memory that a file may ask for; `zstd --ultra -22` stays within it
_ZSTD_PIECE: Final = 1 << 11  # packed bytes at once: they can become 40,000 times as many
_CHUNK: Final = 1 << 16
_HEAD: Final = 1 << 16  # bytes that the layout is told from
_SPACE: Final = b" \t\r\n"
_MARKS: Final = re.compile(rb'["\\\[\]{},\n]')


class Sample(NamedTuple):
    """One event of a file as it stands there."""

    line: int  # where it begins; the first line is 1
    value: bytes
    problem: str = ""  # why it is no event of the file at all


class Pieces(Protocol):
    """A stream that is read piece by piece."""

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes; none at the end."""
        ...


def samples(file: BinaryIO | Pieces, name: str) -> Iterator[Sample]:
    """The events of a file, in order. Blank lines are skipped.

    An array, and an object that begins with a line `{`, may be written over several lines. Everything else has one
    event in each line, so that a broken one costs its line and no other.

    Raises:
        ReadingError: the file cannot be read to its end.
    """
    with _readable(name):
        magic, stream = _begin(file, lambda head: len(head) >= _MARK_BYTES)
        _check_readable(magic, name)
        if magic.startswith(GZIP_MARK):
            stream = gzip.GzipFile(fileobj=stream)
        elif magic.startswith(ZSTD_MARK):
            stream = io.BufferedReader(_Unpacked(stream))
        head, stream = _begin(stream, lambda head: b"\n" in head.lstrip(_SPACE))
        marked = len(UTF8_MARK) if head.startswith(UTF8_MARK) else 0
        space = len(head) - len(head[marked:].lstrip(_SPACE))
        line = 1 + stream.read(space).count(b"\n")
        first, ended, _ = head[space:].partition(b"\n")
        if first.startswith(b"["):
            yield from _Splitter(line, array=True).split(stream)
        elif ended and first.strip(_SPACE) == b"{":
            yield from _Splitter(line, array=False).split(stream)
        else:
            yield from _lines(stream, line)


def _begin(stream: Any, enough: Callable[[bytes], bool]) -> tuple[bytes, Any]:
    """The beginning of a stream, at most a chunk, and a stream that gives it again. A pipe may give it byte by byte."""
    head = b""
    while len(head) < _HEAD and not enough(head) and (piece := stream.read1(_CHUNK)):
        head += piece
    return head, io.BufferedReader(_Again(head, stream))


class _Again(io.RawIOBase):
    """A stream behind bytes that were read from it."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, or less than that."""
        piece = self._head[: len(buffer)] or self._rest.read1(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


class _Unpacked(io.RawIOBase):
    """A zstd file, of one frame or several, as it was before. The library's reader takes half a file for a whole."""

    def __init__(self, packed: Any) -> None:
        self._packed = packed
        self._frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._frames.decompressobj()
        self._begun = False
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, or less than that."""
        while not self._left:
            piece = (self._frame.unused_data if self._frame.eof else b"") or self._packed.read1(_ZSTD_PIECE)
            if not piece:
                if self._begun and not self._frame.eof:
                    raise zstandard.ZstdError("it ends too early")
                return 0
            if self._frame.eof:
                self._frame = self._frames.decompressobj()
            self._begun = True
            self._left = memoryview(self._frame.decompress(piece))
        given, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)


def _check_readable(magic: bytes, name: str) -> None:
    for mark, kind in _OTHER_MARKS.items():
        if magic.startswith(mark):
            raise ReadingError(
                f"{name} is {kind}; give JSON lines or a JSON array, as they are or packed by gzip or zstd."
            )


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ReadingError(f"{name} is not a whole gzip file ({error}); compress it again.") from error
    except zstandard.ZstdError as error:
        raise ReadingError(f"{name} is not a whole zstd file ({error}); compress it again.") from error
    except OSError as error:
        raise ReadingError(f"{name} cannot be read ({error.strerror or error}); give another file.") from error


def _lines(stream: BinaryIO, first: int) -> Iterator[Sample]:
    for number, line, whole in bounded_lines(stream):
        value = line.strip(_SPACE)
        if value:
            yield Sample(first + number - 1, value, "" if whole else _too_long())


def _too_long() -> str:
    return f"the event has more than {MAX_LINE:,} bytes"


class _Splitter:
    """Finds where events end by brackets and commas, without reading the events themselves."""

    def __init__(self, line: int, *, array: bool) -> None:
        self._array = array
        self._base = int(array)
        self._depth = self._escaped = 0
        self._line = line
        self._start: int | None = None
        self._kept = bytearray()
        self._size = 0
        self._in_text = self._open = self._closed = self._comma = False

    def split(self, stream: BinaryIO) -> Iterator[Sample]:
        """The events of a stream."""
        while chunk := stream.read(_CHUNK):
            at = 0
            for found in _MARKS.finditer(chunk):
                place = found.start()
                self._keep(chunk[at:place])
                at = place + 1
                if self._mark(found[0]):
                    yield self._take()
            self._keep(chunk[at:])
        yield from self._rest()

    def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        if self._start is None and piece.strip(_SPACE):
            self._start = self._line
        self._size += len(piece)
        if self._size <= MAX_LINE:
            self._kept += piece
        # after a backslash one character is taken as it is, whichever it is
        self._escaped = 0

    def _mark(self, mark: bytes) -> bool:
        """Take a character that may have a meaning; true if an event ends before it, or with it."""
        if self._in_text or self._closed:
            return self._mark_in_text(mark)
        if mark == b"[" and self._array and not self._open:
            self._open, self._depth = True, 1
            return False
        if self._array and self._depth == 1 and mark in b",]":
            self._closed = mark == b"]"
            ended = mark == b"," or self._comma or bool(self._kept.strip(_SPACE))
            self._comma = mark == b","
            return ended
        self._keep(mark)
        self._in_text = mark == b'"'
        if mark in b"[{":
            self._depth += 1
        elif mark in b"]}" and self._depth > self._base:
            self._depth -= 1
            return not self._array and self._depth == 0
        elif mark == b"\n":
            self._line += 1
        return False

    def _mark_in_text(self, mark: bytes) -> bool:
        """The same inside a text, and after the end of the array: brackets and commas mean nothing there."""
        escaped = self._escaped
        self._keep(mark)
        if mark == b"\\" and not escaped:
            self._escaped = 1
        elif mark == b'"' and not escaped:
            self._in_text = False
        elif mark == b"\n":
            self._line += 1
        return False

    def _take(self) -> Sample:
        value, size, line = bytes(self._kept).strip(_SPACE), self._size, self._start or self._line
        self._kept.clear()
        self._size, self._start = 0, None
        return Sample(line, value, _too_long() if size > MAX_LINE else "")

    def _rest(self) -> Iterator[Sample]:
        left = self._take()
        if self._array and not self._closed:
            yield left._replace(problem="the file ends before its array does; add what is missing")
        elif left.value:
            problem = "something follows the array; put all events into one array, or one into each line"
            yield left._replace(problem=problem) if self._array else left
