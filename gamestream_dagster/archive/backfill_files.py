"""Files to backfill: hashed while they are read, so that provenance names exactly the bytes that were judged."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from gamestream_dagster.archive.backfill import Origin
from gamestream_dagster.events.file_lines import ReadingError
from gamestream_dagster.events.game_files import samples

STANDARD_INPUT: Final = "-"
_CHUNK: Final = 1 << 20


@contextmanager
def file_to_backfill(
    file: str, *, by: str, rejects: Path, on_bytes: Callable[[int], None] = lambda read: None
) -> Iterator[Origin]:
    """The events of a file, JSON lines or a JSON array, also packed by gzip or zstd.

    Args:
        file: path; `-` is standard input.
        by: who backfills.
        rejects: file for the refused lines.
        on_bytes: receives the number of bytes read.

    Raises:
        ReadingError: there is no such file, or `rejects` is the file itself.
    """
    if file == STANDARD_INPUT:
        name = "standard input"
        stream = _Hashed(sys.stdin.buffer, on_bytes)
        yield Origin(name, by, samples(cast("BinaryIO", stream), "Standard input"), stream.sha256, rejects=rejects)
        return
    path = Path(file)
    try:
        opened = path.open("rb")
    except OSError as error:
        raise ReadingError(f"{file} cannot be read ({error.strerror}); give the path of a file, or - .") from error
    with opened:
        if rejects.exists() and rejects.samefile(path):
            raise ReadingError(
                f"--rejects {rejects} is the file to backfill, which it would overwrite; name another file."
            )
        if not path.is_file():  # a pipe can be read once
            stream = _Hashed(opened, on_bytes)
            yield Origin(path.name, by, samples(cast("BinaryIO", stream), file), stream.sha256, rejects=rejects)
            return
        known = hashlib.file_digest(opened, "sha256").hexdigest()
        opened.seek(0)
        stream = _Hashed(opened, on_bytes)

        def sha256() -> str:
            found = stream.sha256()
            if found != known:
                raise ReadingError(f"{file} changed while it was read; run the command again when it is complete.")
            return found

        yield Origin(path.name, by, samples(cast("BinaryIO", stream), file), sha256, rejects, known)


class _Hashed:
    """A stream that remembers the hash of what was read."""

    def __init__(self, stream: Any, on_bytes: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_bytes = on_bytes
        self._hash = hashlib.sha256()
        self._read = 0

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes; none at the end."""
        piece: bytes = self._stream.read1(size)
        self._hash.update(piece)
        self._read += len(piece)
        self._on_bytes(self._read)
        return piece

    def sha256(self) -> str:
        """Of the whole stream: what no event needed is read, too."""
        while self.read1(_CHUNK):
            pass
        return self._hash.hexdigest()
