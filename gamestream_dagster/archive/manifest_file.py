"""The file of a manifest: read whole, replaced atomically, and locked by one archiver at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from pydantic import BaseModel, ValidationError

from gamestream_dagster.archive.errors import (
    ArchiveBusyError,
    ArchiveDamagedError,
    ArchiveLayoutError,
    new_archive,
)
from gamestream_dagster.archive.manifest import LAYOUT, MIGRATED_LAYOUT, READ_LAYOUTS, Manifest
from gamestream_dagster.file_lock import lock_within

MANIFEST = "_manifest.json"
_LOCK = "_lock"


class _Layout(BaseModel):
    """The files in a manifest of any version; the first version had none."""

    layout: int = 1


def layout_of(topic_dir: Path) -> int | None:
    """Layout of the archive in a folder; None without one.

    Raises:
        ArchiveDamagedError: the manifest cannot be read.
    """
    stored = _stored(topic_dir)
    return None if stored is None else _layout(topic_dir, stored)


def load_manifest(topic_dir: Path) -> Manifest:
    """The manifest of a topic's folder; an empty one where nothing was archived.

    Raises:
        ArchiveDamagedError: the file cannot be read, or one of its entries was changed.
        ArchiveLayoutError: another version of gamestream wrote the archive.
    """
    stored = _stored(topic_dir)
    if stored is None:
        _check_nothing_archived(topic_dir)
        return Manifest(topic=topic_dir.name)
    layout = _layout(topic_dir, stored)
    if layout not in READ_LAYOUTS:
        raise ArchiveLayoutError(topic_dir, layout, LAYOUT, in_place=layout == MIGRATED_LAYOUT)
    try:
        manifest = Manifest.model_validate_json(stored).model_copy(update={"layout": LAYOUT})
    except ValidationError as error:
        raise _unreadable(topic_dir, error) from error
    broken = manifest.broken_link()
    if broken is not None:
        what = getattr(broken, "path", None) or f"the chapter of {getattr(broken, 'opened_at', '') or 'its beginning'}"
        raise ArchiveDamagedError(
            f"{topic_dir / MANIFEST} was changed by hand: its entry {what} does not follow from the one before; "
            f"restore the file from a backup, or {new_archive(topic_dir)}."
        )
    return manifest


def _stored(topic_dir: Path) -> bytes | None:
    try:
        return (topic_dir / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(topic_dir, error) from error


def _check_nothing_archived(topic_dir: Path) -> None:
    """A run saves the manifest before it writes the first file, so files without one mean a lost manifest."""
    found = next(topic_dir.rglob("*.parquet"), None)
    if found is not None:
        raise ArchiveDamagedError(
            f"{topic_dir / MANIFEST} is gone, though there are archived files ({found.name}); restore it from a "
            f"backup, or {new_archive(topic_dir)}."
        )


def _layout(topic_dir: Path, stored: bytes) -> int:
    try:
        return _Layout.model_validate_json(stored).layout
    except ValidationError as error:
        raise _unreadable(topic_dir, error) from error


def _unreadable(topic_dir: Path, error: Exception) -> ArchiveDamagedError:
    return ArchiveDamagedError(
        f"{topic_dir / MANIFEST} cannot be read ({type(error).__name__}); restore it from a backup, or "
        f"{new_archive(topic_dir)}."
    )


def save_manifest(topic_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically, after it is on the disk."""
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


@contextmanager
def exclusive(topic_dir: Path, timeout_seconds: float) -> Iterator[None]:
    """Lock the topic: one archiver at a time, in any process.

    Raises:
        ArchiveBusyError: another one held it all the time.
    """
    topic_dir.mkdir(parents=True, exist_ok=True)
    with (topic_dir / _LOCK).open("w") as file:
        if not lock_within(file, timeout_seconds):
            raise ArchiveBusyError(
                f"Another process has been archiving {topic_dir.name} for {timeout_seconds:.0f} s; "
                "wait for it, then try again."
            )
        yield
