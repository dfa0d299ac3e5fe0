"""Live against settled: event counts of a day by type, each difference split into causes that add up to it."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.archive.erased_counts import count_files, counts_dir
from gamestream_dagster.archive.errors import ArchiveError
from gamestream_dagster.archive.manifest import load_manifest
from gamestream_dagster.archive.reader import numbers
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.catalogue.sources import Source, source_named, stack_sources
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.metrics.compute import MetricsDatabase, millis_of
from gamestream_dagster.metrics.errors import MetricError
from gamestream_dagster.metrics.model import Settled
from gamestream_dagster.metrics.source import game_source
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.live.model import DayCause, DayProof, ErasedEvents, TypeCount
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.recompute.statements import statement
from gamestream_dagster.settings import Settings

LIVE: Final = "events_agg_1min"
SETTLED: Final = "event_counts"
EVENTS: Final = "events"
"""What the settled counts are computed from; it knows up to where the archive was read."""
_MOST_TYPES: Final = 10_000

NOBODY_ERASED: Final = ErasedEvents()

Say = Callable[[str], None]


def reconcile_day(settings: Settings, day: date, *, say: Say = lambda _: None) -> DayProof:
    """Compare the live event counts of a settled day with the settled ones.

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
    except (CouldNotLookError, ArchiveError, MetricError, ServiceError) as error:
        proof = DayProof(day, Verdict.COULD_NOT_RUN, str(error))
    return replace(proof, seconds=time.monotonic() - started)


def _proven(settings: Settings, day: date, say: Say) -> DayProof:
    board, metric = load_boards(season=settings.season)[LIVE], load_metrics()[SETTLED]
    enriched = source_named(board.reads[0], stack_sources(settings))
    say("live and settled rows")
    with open_store(settings) as store, open_engine(settings) as engine:
        [version] = store.newest([SETTLED], day, day) or [None]
        if version is None:
            raise CouldNotLookError(
                f"{day} is not settled", f"settle it with `gamestream metrics backfill --from {day} --to {day}`"
            )
        [events] = store.newest([EVENTS], day, day) or [None]
        if events is None or version.inputs.get(EVENTS, {}).get(day) != events.version:
            raise CouldNotLookError(
                f"{SETTLED} of {day} is not of the newest {EVENTS}",
                f"settle it again with `gamestream metrics backfill --from {day} --to {day}`",
            )
        settled = {row["event_name"]: row["events"] for row in store.rows(metric, day, _MOST_TYPES)}
        _check_live(engine, board, day)
        live = live_counts(engine, board, day)
    say("archive")
    archive_topic(settings, enriched)
    say("causes")
    found = causes_of(settings, enriched, day, events)
    return judged(day, version, live, settled, found, erased=erased_events(settings, enriched, day, events))


def _check_live(engine: Engine, board: Board, day: date) -> None:
    """See that the live rows of a day can all be there.

    Raises:
        CouldNotLookError: the job never ran, or old rows are being deleted.
    """
    if PostgresDeploymentStore(engine).last(board.job) is None:
        raise CouldNotLookError(
            f"{board.job} was never deployed, so nothing counts live",
            f"deploy it with `gamestream jobs apply {board.job}`",
        )
    kept = timedelta(milliseconds=board.retention or 0)
    if board.retention is not None and datetime(day.year, day.month, day.day, tzinfo=UTC) + kept < datetime.now(UTC):
        raise CouldNotLookError(
            f"live rows are kept for {kept.days} days, and some of {day} may be gone", "compare a younger day"
        )


def live_counts(engine: Engine, board: Board, day: date) -> dict[str, int]:
    """Events of a day by type, as the live table holds them."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in board.columns]
    table = sa.table(board.name, *columns)
    counted = sa.cast(sa.func.coalesce(sa.func.sum(table.c.events), 0), sa.BigInteger)
    query = (
        sa.select(table.c.event_type, counted)
        .where(table.c.minute >= begin, table.c.minute < begin + timedelta(days=1))
        .group_by(table.c.event_type)
    )
    try:
        with engine.connect() as link:
            return {str(row[0]): int(row[1]) for row in link.execute(query)}
    except SQLAlchemyError as error:
        raise CouldNotLookError(
            f"{board.name} cannot be read ({type(error).__name__})", "see how it differs with `gamestream plan`"
        ) from error


def causes_of(settings: Settings, enriched: Source, day: date, events: Settled) -> list[dict[str, Any]]:
    """By event type what the archives hold of the day, and why they differ (see sql/day.sql)."""
    raw = game_source(settings)
    spill = settings.home / "tmp" / "metrics"
    spill.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=spill) as scratch,
        MetricsDatabase(
            settings.archive_dir / raw.topic, raw, Path(scratch), Tables(settings.enrichment_dir).devices
        ) as database,
    ):
        database.attach("enriched", settings.archive_dir / enriched.topic, enriched)
        values = {"from": millis_of(day), "until": millis_of(day + timedelta(days=1))}
        return database.of_day(day, statement("live/day"), events.upto, **values)


def erased_events(settings: Settings, enriched: Source, day: date, events: Settled) -> ErasedEvents:
    """The events of a day whose players were erased since (see sql/erased_live.sql and sql/erased_settled.sql)."""
    if events.upto is None:
        return NOBODY_ERASED
    raw = game_source(settings)
    span = {"from": millis_of(day), "until": millis_of(day + timedelta(days=1))}
    folder, chapter = counts_dir(settings), len(load_manifest(settings.archive_dir / enriched.topic).chapters)
    offsets = {"partition": list(events.upto.offsets), "offset": list(events.upto.offsets.values())}
    return ErasedEvents(
        _erased("live/erased_live", count_files(folder / enriched.topic, chapter), span),
        _erased("live/erased_settled", count_files(folder / raw.topic, events.upto.chapter), span, offsets),
    )


def _erased(
    name: str, files: Sequence[Path], span: Mapping[str, int], offsets: Mapping[str, list[int]] | None = None
) -> dict[str, int]:
    if not files:
        return {}
    with duckdb.connect(":memory:") as database:
        database.read_parquet([str(path) for path in files], union_by_name=True).create_view("counts")
        if offsets is not None:
            database.register("settled_upto", numbers(offsets))
        return {str(kind): int(number) for kind, number in database.execute(statement(name), dict(span)).fetchall()}


def judged(
    day: date,
    version: Settled,
    live: Mapping[str, int],
    settled: Mapping[str, int],
    found: Iterable[Mapping[str, Any]],
    *,
    erased: ErasedEvents = NOBODY_ERASED,
) -> DayProof:
    """The verdict over all types. What the archives do not account for is an alarm. Pure.

    Args:
        day: UTC.
        version: of the settled day.
        live: events by type in the live table.
        settled: events by type in the settled table.
        found: rows of sql/day.sql.
        erased: events that the archives no longer hold.
    """
    archived: dict[str, dict[str, int]] = defaultdict(dict)
    for row in found:
        archived[row["event_type"]][row["cause"]] = row["events"] or 0
    types: list[TypeCount] = []
    for name in sorted({*live, *settled, *archived}):
        causes: dict[DayCause, int] = defaultdict(int)
        counts = archived[name]
        for cause, events in counts.items():
            with suppress(ValueError):
                causes[DayCause(cause)] += events
        since = counts.get("SINCE", 0)
        causes[DayCause.SINCE_SETTLED] += since
        # a table that is not what its archive gives
        causes[DayCause.LIVE_ROWS] = live.get(name, 0) - counts.get("LIVE", 0)
        causes[DayCause.SETTLED_ROWS] = counts.get("SETTLED", 0) - since - settled.get(name, 0)
        # exactly all of the erased events, or none of them
        for cause, events in (
            (DayCause.LIVE_ROWS, erased.live.get(name, 0)),
            (DayCause.SETTLED_ROWS, -erased.settled.get(name, 0)),
        ):
            if causes[cause] == events:
                causes[DayCause.ERASED] += causes.pop(cause)
        told = {cause: causes[cause] for cause in DayCause if causes[cause]}
        types.append(TypeCount(name, live.get(name, 0), settled.get(name, 0), told))
    return DayProof(day, *_verdict(types), version=version.version, types=tuple(types))


def _verdict(types: Iterable[TypeCount]) -> tuple[Verdict, str]:
    listed = list(types)
    wrong = [one.event_type for one in listed if any(cause.unexplained for cause in one.causes)]
    if wrong:
        return Verdict.DIFFERENT, f"UNEXPLAINED differences of {', '.join(wrong)}"
    causes = dict.fromkeys(cause for one in listed for cause in one.causes)
    if causes:
        return Verdict.EXPLAINED, f"the differences add up: {', '.join(causes)}"
    return Verdict.MATCH, "live and settled are equal"
