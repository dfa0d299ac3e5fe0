"""History: game events that did not come through Kafka, in an archive of their own.

Its folder is `<archive_dir>/game-events-history/`, with the manifest, digests and index of every archive. There is one
partition for each UTC date (days since 1970-01-01), and an offset is a place within that date, so the files of a day
are known by the manifest alone. Live boards and live metrics never saw these events; settled metrics count them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from gamestream_dagster.archive.errors import HISTORY
from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.provenance import Backfilled
from gamestream_dagster.catalogue.sources import ColumnType, Source, stack_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.settings import Settings

DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)

ADDED_COLUMNS: Final = {
    "geo_version": ColumnType.STRING,
    "device_category": ColumnType.STRING,
    "device_tier": ColumnType.STRING,
    "device_version": ColumnType.STRING,
    "run": ColumnType.STRING,
    "line": ColumnType.INTEGER,
}
"""Beside the columns of archived game events: those of enrichment, and where the event comes from."""


def history_source(settings: Settings) -> Source:
    """The history as a stream: game events, under its own name.

    Raises:
        CatalogueError: the catalogue cannot be used.
    """
    return replace(stack_sources(settings)[RAW_TOPIC], topic=HISTORY)


def history_columns(source: Source) -> dict[str, ColumnType]:
    """Columns of the history beside the envelope's: those of archived game events, enrichment, `run` and `line`."""
    return source.own_columns | ADDED_COLUMNS


def history_folder(settings: Settings) -> Path:
    """Where the history is."""
    return settings.archive_dir / HISTORY


def day_number(event_time_millis: int) -> int:
    """The partition of an event time: days since 1970-01-01, UTC."""
    return event_time_millis // DAY_MS


def number_of(day: date) -> int:
    """The partition of a UTC date."""
    return (day - _EPOCH).days


def date_of(day: int) -> date:
    """The UTC date of a partition."""
    return date.fromordinal(_EPOCH.toordinal() + day)


def files_of(chapter: Chapter, day: date) -> list[ArchivedFile]:
    """The files with the events of one UTC date."""
    return [file for file in chapter.files if file.partition == number_of(day)]


def runs_of(manifest: Manifest) -> list[Backfilled]:
    """Every backfill, oldest first."""
    return [entry for chapter in manifest.chapters for entry in chapter.entries if isinstance(entry, Backfilled)]


def load_runs(settings: Settings) -> list[Backfilled]:
    """Every backfill of a stack, oldest first.

    Raises:
        ArchiveDamagedError, ArchiveLayoutError: the history cannot be read.
    """
    return runs_of(load_manifest(history_folder(settings)))


def dates_of(days: Iterable[int]) -> tuple[str, ...]:
    """Dates of partitions, in order."""
    return tuple(f"{date_of(day):%Y-%m-%d}" for day in sorted(days))


def utc_text(millis: int) -> str:
    """A moment as the manifest writes it."""
    return f"{datetime.fromtimestamp(millis / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
