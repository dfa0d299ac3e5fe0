"""Checks that the archive's files still hold the bytes that were written."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from gamestream_dagster.archive.errors import ArchiveForgedError
from gamestream_dagster.archive.manifest import ArchivedFile

_THREADS = 2  # hashing releases the interpreter's lock
_SETTLED_NS = 100_000_000  # a file changed less than this ago may change again within one tick of its clock
_MOST_KEPT = 100_000

_Known = tuple[int, int, int, int, int]
_known: dict[Path, tuple[_Known, str]] = {}
"""Digests of files by device, inode, size, mtime and ctime. The kernel sets ctime at every change and it cannot be
reset, so a file that is edited under its old mtime is hashed again."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex digits; read once per process while the file is unchanged.

    Raises:
        OSError: it is missing or cannot be read.
    """
    with path.open("rb") as file:
        before = _state(file.fileno())
        kept = _known.get(path)
        if kept is not None and kept[0] == before:
            return kept[1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _state(file.fileno()) == before and time.time_ns() - before[-1] > _SETTLED_NS:
            if len(_known) >= _MOST_KEPT:
                _known.clear()
            _known[path] = before, digest
    return digest


def _state(descriptor: int) -> _Known:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Digested(Protocol):
    """A file of an archive with the digest that it had when it was written."""

    @property
    def path(self) -> str:
        """Relative to the topic's folder."""
        ...

    @property
    def sha256(self) -> str:
        """In hex digits."""
        ...


def damage(topic_dir: Path, file: Digested) -> str | None:
    """The fault of an archived file, in words that follow its name; None when it is as written."""
    try:
        found = sha256_of(topic_dir / file.path)
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not file.sha256:
        return "was damaged before the archive kept digests"
    if found != file.sha256:
        return f"was changed after it was written (SHA-256 {found[:12]}, not {file.sha256[:12]})"
    return None


def verify_files(topic_dir: Path, files: Iterable[ArchivedFile], *, mendable: bool = True) -> None:
    """Check that every file is as written.

    Args:
        topic_dir: the archive's folder.
        files: of one chapter.
        mendable: it is the newest one, whose ranges can be read again from Kafka.

    Raises:
        ArchiveForgedError: the first changed file, by name and range.
    """
    listed = list(files)
    with ThreadPoolExecutor(_THREADS) as pool:
        for file, wrong in zip(listed, pool.map(lambda one: damage(topic_dir, one), listed), strict=True):
            if wrong is not None:
                where = f"p{file.partition}@{file.first_offset}..{file.last_offset}"
                raise ArchiveForgedError(topic_dir, file.path, where, wrong, mendable=mendable)
