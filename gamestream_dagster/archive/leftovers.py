"""Files of the archive that its manifest does not name: left by a crash, or of a replaced manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gamestream_dagster.archive.manifest import Manifest, Replaced

_FILE_NAME = re.compile(r"(\d+)-(\d+)-\d+[^/]*\.parquet")


def remove_orphans(topic_dir: Path, manifest: Manifest, held: Mapping[int, int] | None) -> int:
    """Delete files that a crash left behind; returns their number. Call only under the lock.

    A restored older manifest does not name later files. So a file is deleted only if its records
    are read again: it belongs to the newest chapter, and Kafka still holds them. Others are set aside.

    Args:
        topic_dir: the archive's folder.
        manifest: the files that count.
        held: oldest offset in Kafka, by partition; None: the newest chapter has just been opened, so that
            files in its folder belong to another one.
    """
    named = {file.path for chapter in manifest.chapters for file in chapter.files}
    entries = [entry for chapter in manifest.chapters for entry in chapter.entries]
    replaced = {entry.path for entry in entries if isinstance(entry, Replaced)}
    replaced |= {former for chapter in manifest.chapters for former in chapter.rewritten}
    removed, aside = 0, None
    for path in sorted(topic_dir.rglob("*.parquet*")):
        place = str(path.relative_to(topic_dir))
        if place in named:
            continue
        if path.suffix == ".new" or place in replaced or _read_again(path, topic_dir, manifest, held):
            path.unlink()
            removed += 1
            continue
        aside = aside or new_aside(topic_dir)
        (aside / place).parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside / place)
    return removed


def _read_again(path: Path, topic_dir: Path, manifest: Manifest, held: Mapping[int, int] | None) -> bool:
    """Whether this run certainly archives the records of an unnamed file again."""
    name = _FILE_NAME.fullmatch(path.name)
    if held is None or name is None or path.relative_to(topic_dir).parts[0] != chapter_folder(manifest):
        return False
    partition, first = int(name[1]), int(name[2])
    return first >= max(held.get(partition, 0), manifest.current.next_offset(partition))


def chapter_folder(manifest: Manifest) -> str:
    """Name of the newest chapter's folder: chapters repeat offsets."""
    return f"chapter={max(1, len(manifest.chapters))}"


def new_aside(topic_dir: Path) -> Path:
    """A new folder for the parts of an archive that no longer count."""
    aside = topic_dir.parent / "_set-aside" / f"{topic_dir.name}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    aside.mkdir(parents=True)
    return aside
