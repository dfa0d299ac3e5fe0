"""Closing a season: its rows are archived with their certificate, and stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, load_boards
from gamestream_dagster.catalogue.seasons import SeasonSpan, length_millis, season_at, shift_millis
from gamestream_dagster.catalogue.sources import Source, source_named, stack_sources
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.certificates.certificate import Certificate, Proof, certify
from gamestream_dagster.reconciliation.compare.clocks import time_passed
from gamestream_dagster.reconciliation.compare.equal import compare_equal
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import Mode, Sink, Verdict
from gamestream_dagster.reconciliation.observe.sinks import read_season
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times, season_starts
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Season, Settings
from gamestream_dagster.warehouse.tables import closed_seasons

Say = Callable[[str], None]


@dataclass(frozen=True)
class ClosedSeason:
    """What became of one season of one board."""

    board: str
    span: SeasonSpan
    done: bool
    """It stands in `closed_seasons`, from now or from before."""
    news: str
    """For people: closed now, closed before, or why not."""


@dataclass(frozen=True)
class _Closing:
    """One season of one board, and the proof that it is closed by."""

    source: Source
    board: Board
    span: SeasonSpan
    run_id: str
    proof: TopicProof


def close_seasons(
    settings: Settings,
    boards: Sequence[str] | None = None,
    *,
    anyway: bool = False,
    root: Path = FLINK_SQL_DIR,
    say: Say = lambda _: None,
) -> list[ClosedSeason]:
    """Archive every season that has ended, with its certificate; those archived before stay as they are.

    A season has ended when the newest event time of every partition that has events is behind its end plus the setting
    `season_lateness_seconds`. Its rows are recomputed at an exact cut and compared with the rows that the job wrote.

    Args:
        settings: the stack; its `season` must be kept.
        boards: names of boards of seasons; default all.
        anyway: archive the recomputed rows although the job's rows differ; the certificate then says DIFFERENT.
        root: folder of the jobs and boards.
        say: told what is being done.

    Raises:
        CouldNotLookError: no seasons are kept, a name is no board of seasons, or the reconciliation could not look.
    """
    chosen = _boards_of_seasons(settings, boards, root)
    run = reconcile(settings, Mode.BRACKET, [board.name for board in chosen], root=root, say=say)
    if not all(proof.looked for proof in run.topics):
        raise CouldNotLookError(
            f"seasons are closed after a reconciliation, and it could not run: {run.reason}", "try again"
        )
    sources = stack_sources(settings)
    with open_engine(settings) as engine:
        return [
            season
            for proof in run.topics
            for season in _close_of_topic(
                settings,
                engine,
                [board for board in chosen if board.name in proof.about],
                source=source_named(proof.topic, sources),
                run=run,
                proof=proof,
                anyway=anyway,
                say=say,
            )
        ]


def _close_of_topic(
    settings: Settings,
    engine: Engine,
    boards: Sequence[Board],
    *,
    source: Source,
    run: ReconciliationRun,
    proof: TopicProof,
    anyway: bool,
    say: Say,
) -> list[ClosedSeason]:
    """The seasons of the boards that are computed from one topic."""
    found: list[ClosedSeason] = []
    with open_recompute(settings, source) as archive:
        spans = ended(archive, archive.at(proof.high), settings)
        for board in boards:
            closed = _closed(engine, board)
            found += [ClosedSeason(board.name, span, True, "closed before") for span in spans if span.start in closed]
            for span in (span for span in spans if span.start not in closed):
                say(f"close {board.name} {span.label}")
                of = _Closing(source, board, span, run.run_id, proof)
                found.append(_close(settings, engine, archive, of, anyway=anyway))
    return found


def ended(archive: ArchiveDatabase, at: EventsAt, settings: Settings) -> list[SeasonSpan]:
    """The seasons with events that have ended, lateness included, oldest first."""
    newest = newest_event_times(archive, at)
    if not newest:
        return []
    passed = time_passed(newest) - settings.season_lateness_seconds * 1000
    starts = season_starts(archive, at, length_millis(settings.season), shift_millis(settings.season))
    spans = [season_at(settings.season, start) for start in starts]
    return [span for span in spans if span.end < passed]


def _boards_of_seasons(settings: Settings, names: Sequence[str] | None, root: Path) -> list[Board]:
    if settings.season is Season.NONE:
        raise CouldNotLookError("no seasons are kept", "set `season` to hourly, daily or weekly in the profile")
    known = {name: one for name, one in load_boards(root, settings.season).items() if one.season_column is not None}
    for name in names or ():
        if name not in known:
            raise CouldNotLookError(f"{name!r} is no board of seasons", f"choose one of {', '.join(known)}")
    return [board for name, board in known.items() if not names or name in names]


def _closed(engine: Engine, board: Board) -> set[int]:
    query = select(closed_seasons.c.season_id).where(closed_seasons.c.board == board.name)
    with engine.connect() as database:
        return {round(row.season_id.timestamp() * 1000) for row in database.execute(query)}


def _close(settings: Settings, engine: Engine, archive: ArchiveDatabase, of: _Closing, *, anyway: bool) -> ClosedSeason:
    board, span = of.board, of.span
    (job,) = (one for one in of.proof.jobs if one.job == board.job)
    at = replace(archive.at(of.proof.high, job.low), season=span)
    rows = board_rows(archive, at, board)
    if board_rows(archive, at.at_low(), board) != rows:
        return ClosedSeason(board.name, span, False, "an event of it came just now, though late: close it again")
    differences = compare_equal(board, Sink.POSTGRES, read_season(engine, board, span.start), rows)
    if differences and not anyway:
        first = differences[0]
        where = f"rank {first.rank}: {first.explanation}" if first.rank else first.explanation
        news = f"{len(differences)} differences between the job's rows and the recompute, the first at {where}"
        return ClosedSeason(board.name, span, False, f"{news}; see `gamestream reconcile`, or close it with --anyway")
    verdict = Verdict.DIFFERENT if differences else Verdict.MATCH
    topic_id = of.proof.topic_id
    proof = Proof(run_id=of.run_id, verdict=verdict.value, fingerprint=job.fingerprint, topic_id=topic_id)
    certificate = certify(archive, of.source, at, board, proof, season=settings.season)
    _store(engine, board, span, certificate, settings)
    return ClosedSeason(board.name, span, True, f"closed, {len(rows)} rows, {verdict.value}")


def _store(engine: Engine, board: Board, span: SeasonSpan, certificate: Certificate, settings: Settings) -> None:
    data = certificate.model_dump(mode="json")
    values: dict[str, Any] = {
        "board": board.name,
        "season_id": datetime.fromtimestamp(span.start / 1000, UTC),
        "season": settings.season.value,
        "closed_at": datetime.now(UTC),
        "rows": data["rows"],
        "certificate": data,
    }
    # Once archived a season is never changed, whoever closes it again.
    with engine.begin() as database:
        database.execute(insert(closed_seasons).values(values).on_conflict_do_nothing())


def stored_certificate(engine: Engine, board: str, span: SeasonSpan) -> dict[str, Any] | None:
    """The certificate of a closed season as JSON data; None for one that is not closed."""
    at = datetime.fromtimestamp(span.start / 1000, UTC)
    query = select(closed_seasons.c.certificate).where(
        closed_seasons.c.board == board, closed_seasons.c.season_id == at
    )
    with engine.connect() as database:
        return database.execute(query).scalar_one_or_none()
