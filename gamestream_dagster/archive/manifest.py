"""Which offset ranges are archived, and in which files: one small file, replaced whole.

A Parquet file counts from the moment at which the manifest names it. A crash before that leaves a file that nobody
reads and that the next run removes; so a range is there once or not at all.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gamestream_dagster.archive.errors import ArchiveBusyError, ArchiveDamagedError, ArchiveLayoutError

MANIFEST = "_manifest.json"
LAYOUT = 2
"""Of the files' columns: 1 had no `newest_before`, and nothing of a refused record but its bytes."""

_LOCK = "_lock"


class ArchivedFile(BaseModel):
    """One Parquet file: the records of one partition from `from_offset` up to, not including, `next_offset`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="Relative to the topic's folder.")
    partition: int
    from_offset: int = Field(description="Where the reader stood before: the range has no hole on its left.")
    first_offset: int
    last_offset: int
    next_offset: int = Field(description="Where the next file goes on; more than last_offset + 1 after a marker.")
    records: int = Field(description="Kafka records, by position.")
    rows: int = Field(description="Rows of the file: an array of several objects is one record and several rows.")
    gaps: tuple[tuple[int, int], ...] = Field(
        description="Offsets without a record inside the range (transaction markers): first, and one after the last."
    )
    newest_event_time: int | None = Field(
        default=None,
        description="How far the partition's records up to here have moved the watermark, milliseconds.",
    )


@dataclass(frozen=True)
class Break:
    """Offsets of one partition, both ends included, that no file covers (a hole), or two of them (an overlap)."""

    partition: int
    first_offset: int
    last_offset: int
    hole: bool


class Manifest(BaseModel):
    """All ranges of one topic, in the order in which they were written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    layout: int = LAYOUT
    files: tuple[ArchivedFile, ...] = ()

    @property
    def archived_upto(self) -> dict[int, int]:
        """Next offset to archive, by partition; partitions without a file are left out."""
        upto: dict[int, int] = {}
        for file in self.files:
            upto[file.partition] = max(upto.get(file.partition, 0), file.next_offset)
        return dict(sorted(upto.items()))

    @property
    def newest_event_times(self) -> dict[int, int | None]:
        """`newest_event_time` at the end of each partition's last file."""
        in_order = sorted(self.files, key=lambda file: file.next_offset)
        return {file.partition: file.newest_event_time for file in in_order}

    def newest_before(self, partition: int, offset: int) -> int | None:
        """`newest_event_time` of the partition's last file that ends at or before an offset."""
        before = [file for file in self.files if file.partition == partition and file.next_offset <= offset]
        return max(before, key=lambda file: file.next_offset).newest_event_time if before else None

    def extended(self, *files: ArchivedFile) -> Manifest:
        """With more files at the end."""
        return self.model_copy(update={"files": (*self.files, *files)})

    def breaks(self) -> list[Break]:
        """Holes and overlaps between the ranges; empty when each position is covered once."""
        found: list[Break] = []
        reached: dict[int, int] = {}
        for file in sorted(self.files, key=lambda file: (file.partition, file.from_offset)):
            at = reached.get(file.partition, file.from_offset)
            if file.from_offset > at:
                found.append(Break(file.partition, at, file.from_offset - 1, hole=True))
            elif file.from_offset < at:
                found.append(Break(file.partition, file.from_offset, min(at, file.next_offset) - 1, hole=False))
            reached[file.partition] = max(at, file.next_offset)
        return found


class _Layout(BaseModel):
    """What a manifest of any version says about its files; the first version said nothing."""

    layout: int = 1


def load_manifest(topic_dir: Path) -> Manifest:
    """The manifest of a topic's folder; an empty one where nothing was archived.

    Raises:
        ArchiveDamagedError: the file cannot be read.
        ArchiveLayoutError: another version of gamestream wrote the archive.
    """
    path = topic_dir / MANIFEST
    if not path.exists():
        return Manifest(topic=topic_dir.name)
    try:
        stored = path.read_bytes()
        layout = _Layout.model_validate_json(stored).layout
        if layout != LAYOUT:
            raise ArchiveLayoutError(topic_dir, layout, LAYOUT)
        return Manifest.model_validate_json(stored)
    except (ValidationError, OSError) as error:
        raise ArchiveDamagedError(
            f"{path} cannot be read ({type(error).__name__}); restore it, or move the folder away to archive anew."
        ) from error


def save_manifest(topic_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step, after it is on the disk."""
    temporary = topic_dir / (MANIFEST + ".new")
    with temporary.open("wb") as file:
        file.write(orjson.dumps(manifest.model_dump(mode="json")))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(topic_dir / MANIFEST)
    sync_folder(topic_dir)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_orphans(topic_dir: Path, manifest: Manifest) -> int:
    """Delete files that a crash left behind; returns how many. Only under the lock."""
    named = {file.path for file in manifest.files}
    orphans = [path for path in topic_dir.rglob("*.parquet*") if str(path.relative_to(topic_dir)) not in named]
    for path in orphans:
        path.unlink()
    return len(orphans)


@contextmanager
def exclusive(topic_dir: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the topic's lock: one archiver at a time, whichever process it is in.

    Raises:
        ArchiveBusyError: another one held it all the time.
    """
    topic_dir.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_seconds
    with (topic_dir / _LOCK).open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ArchiveBusyError(
                        f"Another process has been archiving {topic_dir.name} for {timeout_seconds:.0f} s; "
                        "wait for it, then try again."
                    ) from error
                time.sleep(0.1)
        yield
