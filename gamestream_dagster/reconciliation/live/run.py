"""Live against settled: numbers of a day that are streamed and settled, each difference split into causes."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from gamestream_dagster.archive.erased_counts import count_files, counts_dir
from gamestream_dagster.archive.errors import ArchiveError
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.catalogue.sources import Source, source_named, stack_sources
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.metrics.compute import MetricsDatabase
from gamestream_dagster.metrics.errors import MetricError
from gamestream_dagster.metrics.model import Settled
from gamestream_dagster.metrics.source import ArchivedUpto, game_source
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.live.archived import DayArchives, Erased, Part, open_day
from gamestream_dagster.reconciliation.live.comparisons import (
    Comparison,
    Group,
    Numbers,
    comparisons,
    live_numbers,
    settled_days,
    settled_numbers,
)
from gamestream_dagster.reconciliation.live.model import DayCause, DayProof, LiveNumber, Number
from gamestream_dagster.reconciliation.live.store import save_comparison
from gamestream_dagster.reconciliation.live.verdicts import verdict_of
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Held:
    """What the tables hold of a comparison."""

    of: Comparison
    version: int
    """Settlement version of the metric's day."""
    live: Numbers
    settled: Numbers


@dataclass(frozen=True)
class Looked:
    """What can be compared of a day."""

    held: tuple[Held, ...]
    events: Settled
    left_out: Mapping[str, CouldNotLookError]


def reconcile_day(settings: Settings, day: date, *, say: Say = lambda _: None) -> DayProof:
    """Compare what was streamed of a settled day with the settled numbers.

    Args:
        settings: the stack.
        day: UTC; settled, and still kept live.
        say: told what is being done, a few words at a time.

    Returns:
        The proof. Where it could not look, its verdict and reason say so.
    """
    started = time.monotonic()
    try:
        proof = _proven(settings, day, say)
    except (CouldNotLookError, BoardNotUsableError, ArchiveError, MetricError, ServiceError) as error:
        proof = DayProof(day, Verdict.COULD_NOT_RUN, str(error))
    return replace(proof, seconds=time.monotonic() - started)


def _proven(settings: Settings, day: date, say: Say) -> DayProof:
    say("live and settled rows")
    looked = look(settings, day)
    numbers: list[LiveNumber] = []
    for topic in dict.fromkeys(one.of.board.reads[0] for one in looked.held):
        say(f"archive of {topic}")
        enriched = source_named(topic, stack_sources(settings))
        archive_topic(settings, enriched)
        with _archives(settings, day, enriched, looked.events.upto) as archives:
            for one in (each for each in looked.held if each.of.board.reads[0] == topic):
                say(f"causes of {one.of.board.name}")
                numbers += numbers_of(one, archives)
    proof = DayProof(
        day,
        *verdict_of(numbers),
        versions={one.of.metric.name: one.version for one in looked.held},
        numbers=tuple(numbers),
        left_out={name: str(why) for name, why in looked.left_out.items()},
    )
    with open_engine(settings) as engine:
        save_comparison(engine, proof)
    return proof


def look(settings: Settings, day: date) -> Looked:
    """What the tables hold of a day that is settled and kept live.

    Raises:
        CouldNotLookError: of nothing.
        ServiceError: Postgres does not answer.
    """
    metrics = load_metrics()
    held: list[Held] = []
    left_out: dict[str, CouldNotLookError] = {}
    events: Settled | None = None
    with open_store(settings) as store, open_engine(settings) as engine:
        for one in comparisons(settings):
            try:
                version, events = settled_days(store, one.metric, metrics, day)
                live, settled = live_numbers(engine, one, day), settled_numbers(store, one, day)
            except CouldNotLookError as error:
                left_out[one.name] = error
            else:
                held.append(Held(one, version.version, live, settled))
    if not held or events is None:
        raise next(iter(left_out.values()), CouldNotLookError("no settled metric is streamed", "describe it by `live`"))
    return Looked(tuple(held), events, left_out)


@contextmanager
def _archives(settings: Settings, day: date, enriched: Source, upto: ArchivedUpto | None) -> Generator[DayArchives]:
    raw = game_source(settings)
    spill = settings.home / "tmp" / "metrics"
    spill.mkdir(parents=True, exist_ok=True)
    devices = Tables(settings.enrichment_dir).devices
    counts, chapters = counts_dir(settings), load_manifest(settings.archive_dir / enriched.topic).chapters
    erased = Erased(
        count_files(counts / enriched.topic, len(chapters)),
        [] if upto is None else count_files(counts / raw.topic, upto.chapter),
    )
    with (
        tempfile.TemporaryDirectory(dir=spill) as scratch,
        MetricsDatabase(settings.archive_dir / raw.topic, raw, Path(scratch), devices) as database,
        open_day(database, day, enriched, settings.archive_dir / enriched.topic, upto, erased=erased) as archives,
    ):
        yield archives


def numbers_of(held: Held, archives: DayArchives) -> list[LiveNumber]:
    """The numbers of a comparison. What the archives do not account for has a cause of its own, which is an alarm.

    Args:
        held: the tables.
        archives: of the same day.
    """
    one = held.of
    by_part = {part: one.in_settled_units(archives.sums(one.board, one.live, part)) for part in Part}
    caused = {cause: one.in_settled_units(archives.of_cause(one.board, one.live, cause)) for cause in archives.causes}
    groups = {*held.live, *held.settled, *by_part[Part.LIVE], *by_part[Part.SETTLED]}
    return [
        _number(held, _Place(group, place, column), by_part, caused)
        for group in sorted(groups)
        for place, column in enumerate(one.live.sums)
    ]


@dataclass(frozen=True)
class _Place:
    """One number of a group; it is zero where the group has no rows."""

    group: Group
    place: int
    column: str

    def of(self, sums: Numbers) -> Number:
        return sums[self.group][self.place] if self.group in sums else 0


def _number(held: Held, at: _Place, by_part: Mapping[Part, Numbers], caused: Mapping[DayCause, Numbers]) -> LiveNumber:
    causes: dict[DayCause, Number] = defaultdict(int)
    for cause, sums in caused.items():
        causes[cause] += at.of(sums)
    live, settled, since = (at.of(by_part[part]) for part in (Part.LIVE, Part.SETTLED, Part.SINCE))
    causes[DayCause.SINCE_SETTLED] += since
    causes[DayCause.CHANGED] = live - settled - sum(at.of(sums) for sums in caused.values())
    # a table that is not what its archive gives: by exactly all of the erased events, or by something else
    for cause, more, erased in (
        (DayCause.LIVE_ROWS, at.of(held.live) - live, at.of(by_part[Part.ERASED_LIVE])),
        (DayCause.SETTLED_ROWS, settled - since - at.of(held.settled), -at.of(by_part[Part.ERASED_SETTLED])),
    ):
        causes[DayCause.ERASED if more == erased else cause] += more
    told = {cause: causes[cause] for cause in DayCause if causes[cause]}
    metric, output = held.of.metric.name, held.of.board.name
    return LiveNumber(metric, at.column, output, at.group, at.of(held.live), at.of(held.settled), told)
