"""All game events as relations of DuckDB: the archive of the stream over all its chapters, and the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

from gamestream_dagster.archive.decode import archive_schema
from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.errors import HISTORY
from gamestream_dagster.archive.history import number_of
from gamestream_dagster.archive.manifest import ArchivedFile
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.sources import Source, source_named, stack_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.metrics.errors import MetricError
from gamestream_dagster.settings import Settings

_SQL = Path(__file__).with_name("sql")
_NOTHING = "nothing_archived"


def statement(name: str, **numbers: int) -> str:
    """The text of `sql/<name>.sql`; `${name}` becomes an integer."""
    text = (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    for place, value in numbers.items():
        text = text.replace(f"${{{place}}}", str(int(value)))
    return text


def game_source(settings: Settings) -> Source:
    """The stream that metrics are computed from."""
    return source_named(RAW_TOPIC, stack_sources(settings))


@dataclass(frozen=True)
class ArchivedUpto:
    """Up to where an archive was read: its chapter, counted from 1, and the next offset by partition."""

    chapter: int
    offsets: Mapping[int, int]
    history: Mapping[int, int] = field(default_factory=dict[int, int])
    """The next place by day of the history (days since 1970-01-01)."""
    head: str = field(default="", compare=False)
    """Digests of the newest entries of both manifests then."""

    def of_history(self, day: date) -> int:
        """How many events of a day the history held."""
        return self.history.get(number_of(day), 0)


def head_of(topic_dir: Path) -> str:
    """Digests of the newest entries of an archive and of the history beside it."""
    return f"{load_manifest(topic_dir).head} {load_manifest(topic_dir.with_name(HISTORY)).head}"


def open_archive_of_all_time(
    database: duckdb.DuckDBPyConnection, topic_dir: Path, source: Source, after: ArchivedUpto | None = None
) -> ArchivedUpto:
    """Make the relation `archive`, with the column `chapter`, which is 0 for the history; no row is read yet.

    Args:
        database: where.
        topic_dir: `<archive_dir>/<topic>`; the history is beside it.
        source: the stream.
        after: leave out files that were read up to there.

    Returns:
        Up to where the archive holds events.

    Raises:
        ArchiveError: a file is gone or was changed, or the manifest cannot be read.
        MetricError: the archive has a hole.
    """
    manifest = load_manifest(topic_dir)
    if found := manifest.breaks():
        hole = found[0]
        raise MetricError(
            f"The archive of {source.topic} lacks p{hole.partition}@{hole.first_offset}..{hole.last_offset}"
            if hole.hole
            else f"The archive of {source.topic} holds p{hole.partition}@{hole.first_offset}.. twice",
            "mend it with `gamestream archive --mend`",
        )
    database.register(_NOTHING, archive_schema(source.own_columns).empty_table())
    parts = [f"SELECT *, 0 AS chapter FROM {_NOTHING}"]

    def add(number: int, folder: Path, files: Sequence[ArchivedFile], *, mendable: bool) -> None:
        verify_files(folder, files, mendable=mendable)
        if files:
            name = f"chapter_{number}"
            paths = [str(folder / file.path) for file in files]
            database.read_parquet(paths, hive_partitioning=False, union_by_name=True).create_view(name, replace=True)
            parts.append(f"SELECT *, {number} AS chapter FROM {name}")

    for number, chapter in enumerate(manifest.chapters, 1):
        files = [file for file in chapter.files if after is None or _is_new(file, number, after)]
        add(number, topic_dir, files, mendable=chapter is manifest.current)
    history = load_manifest(topic_dir.with_name(HISTORY))
    seen = {} if after is None else after.history
    added = [file for file in history.files if file.next_offset > seen.get(file.partition, 0)]
    add(0, topic_dir.with_name(HISTORY), added, mendable=False)
    database.execute(f"CREATE OR REPLACE TEMP VIEW archive AS {' UNION ALL BY NAME '.join(parts)}")
    offsets = {**manifest.current.begins, **manifest.archived_upto}
    head = f"{manifest.head} {history.head}"
    return ArchivedUpto(len(manifest.chapters), offsets, dict(history.archived_upto), head)


def _is_new(file: ArchivedFile, chapter: int, after: ArchivedUpto) -> bool:
    if chapter != after.chapter:
        return chapter > after.chapter
    return file.next_offset > after.offsets.get(file.partition, 0)
