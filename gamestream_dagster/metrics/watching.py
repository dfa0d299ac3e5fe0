"""What was archived since days were settled, and days that are too old to be kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.metrics.model import Settled
from gamestream_dagster.metrics.settle import metrics_dir, remove_days
from gamestream_dagster.metrics.source import ArchivedUpto, game_source, open_archive_of_all_time, statement
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.settings import Settings

MEMORY_LIMIT = "256MiB"


@dataclass(frozen=True)
class Scanned:
    """What earlier looks saw."""

    upto: ArchivedUpto
    first: date | None
    """The first day with an event."""
    late: Mapping[date, ArchivedUpto]
    """Days with events that their settlement lacks, or will lack unless it reads the archive up to there."""


@dataclass(frozen=True)
class LateDays:
    """What a look saw: the days with events that their settlement lacks."""

    scanned: Scanned

    @property
    def days(self) -> tuple[date, ...]:
        """Late days, oldest first."""
        return tuple(sorted(self.scanned.late))


def look(settings: Settings, scanned: Scanned | None, settled: Sequence[Settled]) -> LateDays:
    """Look at what was archived since the last look; the first one reads the times of all events.

    Args:
        settings: the stack.
        scanned: by the last look; None: there was none.
        settled: newest versions of settled days; those that read events count.

    Raises:
        ArchiveError, MetricError: the archive cannot be read.
    """
    source = game_source(settings)
    after = None if scanned is None else scanned.upto
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY_LIMIT, "threads": 1}
    spill = settings.home / "tmp" / "metrics"
    spill.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        config["temp_directory"] = stack.enter_context(tempfile.TemporaryDirectory(dir=spill))
        database = stack.enter_context(duckdb.connect(":memory:", config=config))
        upto = open_archive_of_all_time(database, settings.archive_dir / source.topic, source, after)
        days = dict(database.execute(statement("days_with_events")).fetchall())
    return LateDays(followed(scanned, upto, days, settled))


def followed(
    scanned: Scanned | None, upto: ArchivedUpto, days: Mapping[date, int], settled: Sequence[Settled]
) -> Scanned:
    """What is known after a look. Pure.

    Args:
        scanned: before it.
        upto: how far the archive was read.
        days: days with events in what was read, with their number.
        settled: newest versions of settled days.
    """
    begun = [day for day in (min(days, default=None), None if scanned is None else scanned.first) if day is not None]
    late = dict(scanned.late) if scanned is not None else {}
    late |= dict.fromkeys(days, upto)
    read = {}
    for one in settled:
        if one.upto is not None:
            read.setdefault(one.day, []).append(one.upto)
    # a day that is not settled is kept, too: a run may be settling it from the archive as it was before
    kept = {
        day: needed
        for day, needed in late.items()
        if day not in read or not all(reaches(has, needed) for has in read[day])
    }
    return Scanned(upto, min(begun, default=None), kept)


def reaches(read: ArchivedUpto, needed: ArchivedUpto) -> bool:
    """Whether one reading of the archive saw all that another one saw."""
    if read.chapter != needed.chapter:
        return read.chapter > needed.chapter
    return all(read.offsets.get(partition, 0) >= at for partition, at in needed.offsets.items())


def drop_old(settings: Settings, metrics: Mapping[str, Metric], today: date) -> dict[str, list[date]]:
    """Drop the days that are older than their metric keeps them.

    Returns:
        the dropped days, by metric.
    """
    dropped: dict[str, list[date]] = {}
    folder: Path = metrics_dir(settings)
    with open_store(settings) as store:
        for metric in metrics.values():
            if metric.kept_days is not None:
                days = store.drop_before(metric, today - timedelta(days=metric.kept_days))
                remove_days(folder, metric, days)
                if days:
                    dropped[metric.name] = days
    return dropped
