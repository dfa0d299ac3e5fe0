"""Finds archived records by event id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from gamestream_dagster.archive.digests import damage, verify_files
from gamestream_dagster.archive.errors import (
    ArchiveBusyError,
    ArchiveDamagedError,
    ArchiveForgedError,
    IndexUnusableError,
)
from gamestream_dagster.archive.history import history_source
from gamestream_dagster.archive.id_index import (
    Index,
    IndexedFile,
    index_archive,
    index_folder,
    load_index,
    look_up,
    manifest_digest,
)
from gamestream_dagster.catalogue.sources import Source, stack_sources
from gamestream_dagster.events.strict_json import bad_text
from gamestream_dagster.settings import Settings

MOST_FILES = 100
"""Files of one topic that are read for one id: more hold it only if its sender repeats it for weeks."""

MOST_RECORDS = 1_000
_TRIES = 3

_RECORDS = """
SELECT filename, "partition", "offset", item, kafka_timestamp, user_id, event_time_millis, event_type, reason
FROM read_parquet($paths, union_by_name = true, hive_partitioning = false, filename = true)
WHERE event_id = $event_id
ORDER BY kafka_timestamp, "partition", "offset", item
LIMIT $most
"""


@dataclass(frozen=True)
class ArchivedRecord:
    """Where a record is, in Kafka and in the archive, and what became of it."""

    topic: str
    partition: int
    offset: int
    item: int
    """0, or the place in a record that holds several events."""
    kafka_timestamp: int
    """Milliseconds."""
    user_id: str | None
    event_time_millis: int | None
    event_type: str | None
    reason: str | None
    """Why it is refused; None: accepted."""
    chapter: int
    """Of the archive, counted from 1."""
    current: bool
    """The chapter is the newest one: the position is one of the topic as it was when it was last archived."""
    file: Path


@dataclass(frozen=True)
class Found:
    """The archived records with an event id: by topic, chapter, and Kafka time."""

    records: tuple[ArchivedRecord, ...]
    more: bool
    """There are more records than are read for one id."""


def find_event(settings: Settings, event_id: str) -> Found:
    """Every archived record with an event id, accepted or refused, in all archived topics and in the history.

    What was archived since the index was written is indexed first. Records that are not archived yet are not found.

    Args:
        settings: the stack.
        event_id: as the sender gave it.

    Raises:
        ArchiveForgedError: a file that may hold the event is gone or was changed.
        ArchiveDamagedError, ArchiveLayoutError: an archive cannot be read.
        ArchiveBusyError: another process indexes the archive; worth another try.
        IndexUnusableError: the index cannot be read or written.
    """
    records: list[ArchivedRecord] = []
    more = False
    for source in (*stack_sources(settings).values(), history_source(settings)):
        if source.archived and event_id:
            found = find_in(settings, source, event_id)
            records += found.records
            more = more or found.more
    return Found(tuple(records), more)


def find_in(settings: Settings, source: Source, event_id: str) -> Found:
    """As `find_event`, in one topic."""
    topic_dir = settings.archive_dir / source.topic
    if bad_text(event_id) is not None:  # no archived id has a NUL or half of a surrogate pair, and DuckDB takes none
        return Found((), more=False)
    index, files = _files_with(settings, source.topic, event_id)
    read = files[:MOST_FILES]
    _check_whole(topic_dir, index, read)
    records: list[ArchivedRecord] = []
    for chapter in sorted({one.chapter for one in read}):
        paths = [topic_dir / one.path for one in read if one.chapter == chapter]
        records += _records(source.topic, paths, event_id, chapter, current=chapter == index.chapters)
    return Found(tuple(records[:MOST_RECORDS]), len(files) > MOST_FILES or len(records) > MOST_RECORDS)


def _files_with(settings: Settings, topic: str, event_id: str) -> tuple[Index, list[IndexedFile]]:
    """An index that covers the whole archive, and the files that may hold the event."""
    topic_dir, folder = settings.archive_dir / topic, index_folder(settings, topic)
    for left in reversed(range(_TRIES)):
        index = load_index(folder)
        if not index.manifest or index.manifest != manifest_digest(topic_dir):
            damaged = index_archive(settings, topic)
            index = load_index(folder)
            for chapter, file in damaged:
                verify_files(topic_dir, [file], mendable=chapter == index.chapters)
            if damaged:
                continue  # they were replaced meanwhile
        try:
            return index, look_up(folder, index, event_id)
        except duckdb.IOException as error:  # merged meanwhile
            if not left:
                raise IndexUnusableError(folder, error) from error
        except duckdb.Error as error:
            raise IndexUnusableError(folder, error) from error
    raise ArchiveBusyError(f"The archive in {topic_dir} is being changed; wait for it, then try again.")


def _check_whole(topic_dir: Path, index: Index, files: Iterable[IndexedFile]) -> None:
    for one in files:
        wrong = damage(topic_dir, one)
        if wrong is not None:
            mendable = one.chapter == index.chapters
            raise ArchiveForgedError(topic_dir, one.path, f"chapter {one.chapter}", wrong, mendable=mendable)


def _records(topic: str, paths: Sequence[Path], event_id: str, chapter: int, *, current: bool) -> list[ArchivedRecord]:
    with duckdb.connect(":memory:", config={"memory_limit": "256MiB", "threads": 2}) as database:
        values = {"paths": list(map(str, paths)), "event_id": event_id, "most": MOST_RECORDS + 1}
        try:
            cursor = database.execute(_RECORDS, values)
            _, *names = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall()
        except duckdb.Error as error:
            raise ArchiveDamagedError(
                f"The archive of {topic} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); read "
                "the file again from Kafka with `gamestream archive --mend`, or restore it from a backup."
            ) from error
    where: dict[str, Any] = {"topic": topic, "chapter": chapter, "current": current}
    return [ArchivedRecord(file=Path(path), **where, **dict(zip(names, values, strict=True))) for path, *values in rows]
