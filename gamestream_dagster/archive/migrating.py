"""Migrates an archive of an older layout: rewrites its manifest in place, or sets its folder aside."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import ValidationError

from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.errors import ArchiveDamagedError, ArchiveLayoutError
from gamestream_dagster.archive.leftovers import new_aside
from gamestream_dagster.archive.manifest import MIGRATED_LAYOUT, ArchivedFile, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import MANIFEST, layout_of, load_manifest, save_manifest
from gamestream_dagster.archive.reader import rows_in


def load_to_write(topic_dir: Path) -> Manifest:
    """The manifest, migrated where possible. Call only under the lock.

    The digests of a migrated archive are those of its present files: earlier changes go undetected.

    Raises:
        ArchiveDamagedError, ArchiveLayoutError: as `load_manifest`.
    """
    if layout_of(topic_dir) != MIGRATED_LAYOUT:
        return load_manifest(topic_dir)
    try:
        stored = cast("dict[str, Any]", orjson.loads((topic_dir / MANIFEST).read_bytes()))
        files = [ArchivedFile.model_validate({**one, "sha256": _digest(topic_dir, one)}) for one in stored["files"]]
    except (OSError, orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise ArchiveDamagedError(
            f"{topic_dir / MANIFEST} cannot be migrated ({type(error).__name__}); restore it from a backup."
        ) from error
    opened = Chapter(opened_at=utc_now(), reason=f"migrated from layout {MIGRATED_LAYOUT}, which kept no topic id")
    migrated = Manifest(topic=topic_dir.name).opened(opened).extended(*files)
    save_manifest(topic_dir, migrated)
    return migrated


def _digest(topic_dir: Path, file: dict[str, Any]) -> str:
    """Digest of the present file; empty for a damaged one, so that `--mend` reads its range again."""
    path = topic_dir / str(file["path"])
    return sha256_of(path) if rows_in(path) == file["rows"] else ""


def load_or_set_aside(topic_dir: Path) -> tuple[Manifest, Path | None]:
    """The manifest; if it is unusable, an empty one, and the folder to which the old archive was moved.

    Call only under the lock.
    """
    try:
        return load_to_write(topic_dir), None
    except (ArchiveDamagedError, ArchiveLayoutError):
        aside = new_aside(topic_dir)
        for path in topic_dir.iterdir():
            if not path.name.startswith("_lock"):
                path.rename(aside / path.name)
        return Manifest(topic=topic_dir.name), aside


def utc_now() -> str:
    """The time of a new entry."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
