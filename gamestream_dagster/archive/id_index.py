"""An index from event ids to archived files, for every archived topic: `<archive_dir>/_ids/<topic>/`.

Its segments are Parquet files of (id: 64 bits of the event id's MD5, file: number of an archived file), sorted by id.
So DuckDB reads one row group of each to look an id up. A segment is merged with the ones before it as long as those are
no larger, so there are few of them however often the topic is archived.

The index is derived from the archive and holds no event id in plain text. It may be deleted; the next use builds it.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from gamestream_dagster.archive.digests import damage
from gamestream_dagster.archive.errors import ArchiveError, IndexUnusableError
from gamestream_dagster.archive.manifest import ArchivedFile
from gamestream_dagster.archive.manifest_file import MANIFEST, exclusive, load_manifest, sync_folder
from gamestream_dagster.settings import Settings

STATE = "_index.json"
FOLDER = "_ids"
VERSION = 1

SEGMENT_ROWS = 32_000_000
"""Segments of more rows are not merged: it bounds what one update writes."""

_BATCH_ROWS = 4_000_000  # rows of new files that are sorted at once
_ROW_GROUP = 65_536
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "256MiB", "threads": 2}

_NEW = """
COPY (
  SELECT md5_number_lower(event_id) AS id, numbers.file
  FROM read_parquet($paths, union_by_name = true, hive_partitioning = false, filename = true) AS archived
  JOIN numbers ON archived.filename = numbers.filename
  WHERE event_id <> ''
  ORDER BY id
) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group})
"""
_MERGED = """
COPY (FROM read_parquet($paths) ORDER BY id)
TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group})
"""
_LOOKUP = """
SELECT DISTINCT file FROM read_parquet($paths) WHERE id = md5_number_lower($event_id) ORDER BY file
"""


@dataclass(frozen=True)
class IndexedFile:
    """One archived file that the index covers."""

    chapter: int
    """Counted from 1, as in the names of the folders."""
    path: str
    sha256: str


class Segment(BaseModel):
    """One file of the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    size: int
    """Bytes."""


class Index(BaseModel):
    """What the index of one topic holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    manifest: str = ""
    """SHA-256 of the manifest whose files are all covered; empty: some are not."""
    chapters: int = 0
    files: tuple[IndexedFile | None, ...] = ()
    """By number; None where a file no longer counts."""
    segments: tuple[Segment, ...] = ()
    """In the order of writing."""


def index_archive(settings: Settings, topic: str, *, lock_seconds: float = 120) -> list[tuple[int, ArchivedFile]]:
    """Add what was archived since the last time.

    Returns:
        chapter and file of those that are damaged, which are left out until they are mended.

    Raises:
        ArchiveDamagedError, ArchiveLayoutError: the manifest cannot be used.
        ArchiveBusyError: another process indexes the topic; worth another try.
        IndexUnusableError: the index cannot be written.
    """
    topic_dir, folder = settings.archive_dir / topic, index_folder(settings, topic)
    if not topic_dir.exists() and not folder.exists():
        return []
    try:
        with exclusive(folder, lock_seconds):
            return _updated(topic_dir, folder)
    except (OSError, duckdb.Error) as error:
        raise IndexUnusableError(folder, error) from error


def try_to_index(settings: Settings, topic: str) -> str | None:
    """As `index_archive`, for whom the archive alone matters: a sentence if the index is not up to date, or None."""
    try:
        damaged = index_archive(settings, topic)
    except ArchiveError as error:
        return str(error)
    if damaged:
        return f"{len(damaged)} damaged files are not in the index of event ids; see `gamestream archive --mend`."
    return None


def _updated(topic_dir: Path, folder: Path) -> list[tuple[int, ArchivedFile]]:
    stored = load_index(folder)
    digest = manifest_digest(topic_dir)
    if digest and stored.manifest == digest:
        return []
    _remove_strangers(folder, stored)
    manifest = load_manifest(topic_dir)
    counting = {
        IndexedFile(chapter=number, path=file.path, sha256=file.sha256): file
        for number, chapter in enumerate(manifest.chapters, 1)
        for file in chapter.files
    }
    known = set(stored.files)
    index = stored.model_copy(
        update={
            "manifest": "",
            "chapters": len(manifest.chapters),
            "files": tuple(one if one in counting else None for one in stored.files),
        }
    )
    fresh = {one: file for one, file in counting.items() if one not in known}
    damaged = {one for one, file in fresh.items() if damage(topic_dir, file) is not None}
    for batch in _batches({one: file.rows for one, file in fresh.items() if one not in damaged}):
        index = _with_files(folder, topic_dir, index, batch)
    save_index(folder, index.model_copy(update={"manifest": "" if damaged else digest}))
    return [(one.chapter, fresh[one]) for one in damaged]


def look_up(folder: Path, index: Index, event_id: str) -> list[IndexedFile]:
    """The archived files that may hold an event, in the order of archiving.

    Raises:
        duckdb.Error: a segment is gone, as another process has merged it, or unreadable.
    """
    if not index.segments:
        return []
    paths = [str(folder / one.name) for one in index.segments]
    with duckdb.connect(":memory:", config=_CONFIG) as database:
        rows = database.execute(_LOOKUP, {"paths": paths, "event_id": event_id}).fetchall()
    found = [index.files[number] for (number,) in rows]
    return [one for one in found if one is not None]


def index_folder(settings: Settings, topic: str) -> Path:
    """Where the index of a topic is: not in the topic's own folder, whose Parquet files are all archived records."""
    return settings.archive_dir / FOLDER / topic


def manifest_digest(topic_dir: Path) -> str:
    """SHA-256 of the manifest; empty where nothing is archived."""
    try:
        return hashlib.sha256((topic_dir / MANIFEST).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def load_index(folder: Path) -> Index:
    """The index in a folder; an empty one where it is missing, of another version, or damaged: it is built again."""
    try:
        index = Index.model_validate_json((folder / STATE).read_bytes())
        whole = all((folder / one.name).stat().st_size == one.size for one in index.segments)
    except (OSError, ValidationError):
        return Index()
    return index if whole and index.version == VERSION else Index()


def save_index(folder: Path, index: Index) -> None:
    """Replace the state atomically; then remove the segments that it does not name."""
    temporary = folder / (STATE + ".new")
    with temporary.open("wb") as file:
        file.write(index.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / STATE)
    sync_folder(folder)
    _remove_strangers(folder, index)


def _remove_strangers(folder: Path, index: Index) -> None:
    named = {one.name for one in index.segments}
    for path in folder.glob("ids-*"):
        if path.name not in named:
            path.unlink()


def _batches(rows: dict[IndexedFile, int]) -> Iterator[list[IndexedFile]]:
    batch: list[IndexedFile] = []
    held = 0
    for one, count in rows.items():
        if batch and held + count > _BATCH_ROWS:
            yield batch
            batch, held = [], 0
        batch.append(one)
        held += count
    if batch:
        yield batch


def _with_files(folder: Path, topic_dir: Path, index: Index, batch: Sequence[IndexedFile]) -> Index:
    """With more files covered; saved, so that an update that is cut short goes on where it was."""
    first = len(index.files)
    paths = [str(topic_dir / one.path) for one in batch]
    numbers = pa.table({"filename": paths, "file": pa.array(range(first, first + len(batch)), pa.int32())})
    written = _written(folder, _NEW, paths, numbers)
    kept = list(index.segments)
    merged = [written]
    while kept and kept[-1].rows <= sum(one.rows for one in merged) <= SEGMENT_ROWS - kept[-1].rows:
        merged.append(kept.pop())
    if len(merged) > 1:
        written = _written(folder, _MERGED, [str(folder / one.name) for one in merged])
    update = {"files": (*index.files, *batch), "segments": (*kept, *([written] if written.rows else []))}
    grown = index.model_copy(update=update)
    save_index(folder, grown)
    return grown


def _written(folder: Path, sql: str, paths: list[str], numbers: pa.Table | None = None) -> Segment:
    path = folder / f"ids-{uuid.uuid4().hex}.parquet"  # never a name that a reader may still know
    spill = {"temp_directory": str(folder / "tmp")}
    with duckdb.connect(":memory:", config={**_CONFIG, **spill}) as database:
        if numbers is not None:
            database.register("numbers", numbers)
        target = str(path).replace("'", "''")
        (rows,) = database.execute(sql.format(target=target, row_group=_ROW_GROUP), {"paths": paths}).fetchone() or (0,)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return Segment(name=path.name, rows=rows, size=path.stat().st_size)
