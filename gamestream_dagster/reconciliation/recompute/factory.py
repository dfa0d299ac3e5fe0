"""Opens the recompute of a stack's topic: the one place that knows folder, event ids and engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gamestream_dagster.archive.erased_counts import count_files, counts_dir
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import BoardEngine
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.flink_recompute import FlinkBoards
from gamestream_dagster.settings import RecomputeEngine, Settings


def open_recompute(
    settings: Settings, source: Source, *, chapter: int | None = None, say: Callable[[str], None] = lambda _: None
) -> ArchiveDatabase:
    """The archive of a stream as it is now, with the engine that the settings name. Use as a context manager.

    Args:
        settings: the stack.
        source: an archived stream.
        chapter: place of the archive's chapter; default the newest one.
        say: told how far a Flink job is.

    Raises:
        ArchiveError: a file of the archive is gone, was changed, or cannot be read.
    """
    spill = settings.home / "tmp" / "recompute"
    spill.mkdir(parents=True, exist_ok=True)
    opened = archive_of(settings.archive_dir / source.topic, source, chapter=chapter)
    return ArchiveDatabase(opened, spill, engine=_engine(settings, say))


def open_with_erased(settings: Settings, source: Source) -> ArchiveDatabase | None:
    """The archive as it is now, with what erased records gave to counts; None: nothing is kept of any.

    Raises:
        ArchiveError: a file of the archive is gone, was changed, or cannot be read.
    """
    folder = settings.archive_dir / source.topic
    chapter = len(load_manifest(folder).chapters)
    erased = count_files(counts_dir(settings) / source.topic, chapter)
    if not erased:
        return None
    spill = settings.home / "tmp" / "recompute"
    spill.mkdir(parents=True, exist_ok=True)
    return ArchiveDatabase(archive_of(folder, source), spill, erased=erased)


def archive_of(folder: Path, source: Source, *, chapter: int | None = None) -> ArchiveSource:
    """The archive of a stream in a folder; `chapter`: its place, default the newest one."""
    return ArchiveSource(
        folder,
        event_ids=source.dedup is not None,
        chapter=chapter,
        own_columns=source.own_columns,
        content=source.content_columns,
        id_key=source.dedup.key if source.dedup is not None else (),
        aliases=source.aliases,
        derived=source.derived,
        named=source.named_columns,
        late_ms=source.lateness_ms,
    )


def _engine(settings: Settings, say: Callable[[str], None]) -> BoardEngine | None:
    match settings.recompute_engine:
        case RecomputeEngine.DUCKDB:
            return None
        case RecomputeEngine.FLINK:
            return FlinkBoards(settings, say)
