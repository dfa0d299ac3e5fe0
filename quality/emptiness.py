"""Whether it is right that a suite has no row: the recompute, the topic or the last run decides, never a guess."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gamestream_dagster.archive.errors import ArchiveError
from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import season_at
from gamestream_dagster.catalogue.sources import source_of_board, stack_sources
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.errors import ReconciliationError
from gamestream_dagster.settings import Season
from gamestream_dagster.warehouse.tables import reconciliation_runs, reconciliation_topics
from quality.queries import query
from quality.results import SuiteState
from quality.suites.suite import Emptiness

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
    from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
    from gamestream_dagster.settings import Settings

NO_RUN = "no reconciliation has finished; run `gamestream reconcile`."
_WINDOWS = 50  # windows of an empty board that are recomputed, newest first


@dataclass(frozen=True)
class Cuts:
    """The cuts of the newest run that was about a job."""

    low: Mapping[int, int]
    """Next offset by partition that was surely in the job's sinks."""
    partitions: frozenset[int]
    """All partitions of the topic."""


def empty_board(board: Board, settings: Settings) -> Emptiness:
    """Whether the recompute has no row for the board either, at the low cut of the last reconciliation."""
    if not board.proven:
        return Emptiness(SuiteState.NOT_RUN, f"{board.name} has no row, and no recompute says whether that is right.")
    try:
        cuts = newest_cuts(settings, board.job, source_of_board(board, stack_sources(settings)).topic)
        if cuts is None:
            return Emptiness(SuiteState.NOT_RUN, f"{board.name} has no row to compare with a recompute: {NO_RUN}")
        rows = recomputed_rows(settings, board, cuts)
    except (ArchiveError, ReconciliationError, ServiceError) as error:
        return Emptiness(
            SuiteState.FAILS, f"{board.name} has no row, and no recompute says whether that is right: {error}"
        )
    if rows == 0:
        return Emptiness(SuiteState.HOLDS, f"{board.name} has no row, and its recompute gives none.")
    return Emptiness(
        SuiteState.FAILS,
        f"{board.name} has no row, and its recompute gives {rows}; see `gamestream jobs show {board.job}`.",
    )


def empty_archive(topic: str, settings: Settings) -> Emptiness:
    """Whether the topic holds no record either."""
    try:
        records = sum(KafkaAdmin(settings.kafka).end_offsets(topic).values())
    except ServiceError as error:
        return Emptiness(SuiteState.FAILS, f"The archive is empty, and the topic could not be asked: {error}")
    if records == 0:
        return Emptiness(SuiteState.HOLDS, f"The archive is empty, and {topic} has never held a record.")
    return Emptiness(SuiteState.NOT_RUN, f"nothing of {topic} is archived; run `gamestream archive`.")


def no_run(_settings: Settings) -> Emptiness:
    """No finished run is in the table."""
    return Emptiness(SuiteState.NOT_RUN, NO_RUN)


def empty_ledger(settings: Settings) -> Emptiness:
    """Whether the newest run that counted found no record either, in any topic."""
    ledger, finished = reconciliation_topics.c.ledger, reconciliation_runs.c.finished_at
    newest = (
        sa.select(reconciliation_runs.c.run_id)
        .join(reconciliation_topics)
        .where(sa.func.jsonb_typeof(ledger) == "object", finished.is_not(None))
        .order_by(finished.desc())
        .limit(1)
    )
    counted = sa.select(sa.cast(sa.func.sum(sa.cast(ledger["records"].astext, sa.BigInteger)), sa.BigInteger)).where(
        reconciliation_topics.c.run_id == newest.scalar_subquery(), sa.func.jsonb_typeof(ledger) == "object"
    )
    with open_engine(settings) as engine, engine.connect() as link:
        records = link.execute(counted).scalar()
    if records is None:
        return Emptiness(SuiteState.NOT_RUN, f"the ledger is empty: {NO_RUN}")
    if records == 0:
        return Emptiness(SuiteState.HOLDS, "The ledger is empty, and the last run counted no record.")
    return Emptiness(
        SuiteState.FAILS,
        f"The ledger is empty, and the last run counted {records:,} records; run `gamestream reconcile`.",
    )


def newest_cuts(settings: Settings, job: str, topic: str) -> Cuts | None:
    """The cuts in a topic of the newest finished run that was about a job; None before the first."""
    finished, cuts = reconciliation_runs.c.finished_at, reconciliation_topics.c
    newest = (
        sa.select(cuts.low_cut, cuts.high_cut)
        .join_from(reconciliation_topics, reconciliation_runs)
        .where(
            finished.is_not(None),
            cuts.topic == topic,
            cuts.low_cut.has_key(job),
            sa.func.jsonb_typeof(cuts.high_cut) == "object",
        )
        .order_by(finished.desc())
        .limit(1)
    )
    with open_engine(settings) as engine, engine.connect() as link:
        found = link.execute(newest).first()
    if found is None:
        return None
    low = {int(partition): int(offset) for partition, offset in found.low_cut[job].items()}
    return Cuts(low, frozenset(int(partition) for partition in found.high_cut))


def recomputed_rows(settings: Settings, board: Board, cuts: Cuts) -> int:
    """How many rows the independent recompute gives for a board at the low cut.

    Raises:
        ArchiveError, ReconciliationError: the archive or the board's description cannot be used.
    """
    from gamestream_dagster.reconciliation.recompute.boards import board_rows
    from gamestream_dagster.reconciliation.recompute.factory import open_recompute
    from gamestream_dagster.reconciliation.recompute.facts import newest_event_times

    if not any(cuts.low.values()):
        return 0
    with open_recompute(settings, source_of_board(board, stack_sources(settings))) as archive:
        at = archive.at(cuts.low)
        newest = newest_event_times(archive, at)
        if not newest:
            return 0
        if board.window is not None:
            return _rows_of_windows(archive, at, board, cuts, newest)
        if board.season_column is not None:
            if settings.season is Season.NONE:
                return 0
            span = season_at(settings.season, max(newest.values()))
            at = replace(at, season=span)
        if board.retention is not None:
            at = replace(at, since=round(time.time() * 1000) - board.retention)
        return len(board_rows(archive, at, board))


def _rows_of_windows(
    archive: ArchiveDatabase, at: EventsAt, board: Board, cuts: Cuts, newest: Mapping[int, int]
) -> int:
    """Rows of the newest window that the job must have shown, and that has some; 0 when there is none.

    A partition without an accepted event holds the watermark back, so then no window has ended. One tick is allowed
    for the watermark's way through the job.
    """
    from gamestream_dagster.reconciliation.recompute.boards import board_rows

    if board.window is None or newest.keys() != cuts.partitions:
        return 0
    tick = board.window.tick_seconds * 1000
    ended = (min(newest.values()) - board.window.delay_seconds * 1000) // tick * tick - tick
    windows = query("board_windows", tick_millis=tick, ended_millis=ended, most=_WINDOWS)
    for found in archive.query(at, windows):
        if rows := board_rows(archive, at, board, as_of=found["as_of"]):
            return len(rows)
    return 0
