"""The archive of game events over all its chapters, as relations of DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from gamestream_dagster.archive.decode import archive_schema
from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.manifest import ArchivedFile, load_manifest
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
    head: str = field(default="", compare=False)
    """Digest of the manifest's newest entry then."""


def open_archive_of_all_time(
    database: duckdb.DuckDBPyConnection, topic_dir: Path, source: Source, after: ArchivedUpto | None = None
) -> ArchivedUpto:
    """Make the relation `archive`, with the column `chapter`; no row is read yet.

    Args:
        database: where.
        topic_dir: `<archive_dir>/<topic>`.
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
    for number, chapter in enumerate(manifest.chapters, 1):
        files = [file for file in chapter.files if after is None or _is_new(file, number, after)]
        verify_files(topic_dir, files, mendable=chapter is manifest.current)
        if files:
            name = f"chapter_{number}"
            paths = [str(topic_dir / file.path) for file in files]
            database.read_parquet(paths, hive_partitioning=False, union_by_name=True).create_view(name, replace=True)
            parts.append(f"SELECT *, {number} AS chapter FROM {name}")
    database.execute(f"CREATE OR REPLACE TEMP VIEW archive AS {' UNION ALL BY NAME '.join(parts)}")
    offsets = {**manifest.current.begins, **manifest.archived_upto}
    return ArchivedUpto(len(manifest.chapters), offsets, manifest.head)


def _is_new(file: ArchivedFile, chapter: int, after: ArchivedUpto) -> bool:
    if chapter != after.chapter:
        return chapter > after.chapter
    return file.next_offset > after.offsets.get(file.partition, 0)
