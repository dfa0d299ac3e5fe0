"""Series of the past, from what the stack keeps: the ledger's minutes, and the proofs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, func, select

from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.monitoring.kafka_series import RATE_MINUTES, WRITTEN_BY_GAMES
from gamestream_dagster.monitoring.proof_series import of_board
from gamestream_dagster.reconciliation.results.board_verdicts import findings_of
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import ledger, reconciliation_runs

MINUTE: Final = 60.0
HOUR: Final = 3600.0
_LONGEST_SILENCE: Final = 30 * 86_400.0

PAST_SERIES: Final = (
    "hours_since_last_event",
    "total_events_per_minute",
    "dlq_events_per_minute",
    "reconciliation_verdict",
    "reconciliation_age_seconds",
    "board_is_correct",
)


@dataclass(frozen=True)
class Minute:
    """One minute of a topic by its ledger; `at` is its beginning, epoch seconds."""

    at: float
    records: int
    dead: int


def past_samples(connection: Connection, settings: Settings, since: float, upto: float) -> Iterator[Sample]:
    """Samples on whole minutes from `since` to `upto`, epoch seconds, oldest first by series."""
    for topic in WRITTEN_BY_GAMES:
        minutes = _minutes(connection, topic, since - _LONGEST_SILENCE, upto)
        yield from silence(topic, minutes, since, upto)
        if topic == RAW_TOPIC:
            yield from rates(minutes, since, upto)
    yield from _proofs(connection, settings, since, upto)


def silence(topic: str, minutes: Sequence[Minute], since: float, upto: float) -> Iterator[Sample]:
    """`hours_since_last_event`: a minute's newest event is taken to be at its end."""
    labels = labels_of({"topic": topic})
    newest: float | None = None
    position = 0
    for at in _steps(since, upto):
        while position < len(minutes) and minutes[position].at + MINUTE <= at:
            newest = minutes[position].at + MINUTE
            position += 1
        if newest is not None:
            yield Sample("hours_since_last_event", labels, at, (at - newest) / HOUR)


def rates(minutes: Sequence[Minute], since: float, upto: float) -> Iterator[Sample]:
    """Events and dead letters per minute over the ten minutes before each minute."""
    by_minute = {math.floor(one.at / MINUTE): one for one in minutes}
    for at in _steps(since, upto):
        now = math.floor(at / MINUTE)
        window = [by_minute[one] for one in range(now - RATE_MINUTES, now) if one in by_minute]
        records, dead = sum(one.records for one in window), sum(one.dead for one in window)
        yield Sample("total_events_per_minute", (), at, records / RATE_MINUTES)
        yield Sample("dlq_events_per_minute", (), at, dead / RATE_MINUTES)


def proven(board: str, runs: Sequence[FinishedRun], settings: Settings, since: float, upto: float) -> Iterator[Sample]:
    """The series of a board's proofs: at each minute, those of the newest run before it."""
    position, newest = 0, None
    for at in _steps(since, upto):
        while position < len(runs) and runs[position].finished_at.timestamp() <= at:
            newest = runs[position]
            position += 1
        if newest is not None:
            yield from of_board(board, newest, settings, at)


def _steps(since: float, upto: float) -> Iterable[float]:
    first = math.ceil(since / MINUTE)
    return (number * MINUTE for number in range(first, math.floor(upto / MINUTE) + 1))


def _minutes(connection: Connection, topic: str, since: float, upto: float) -> list[Minute]:
    own = ledger.c
    query = (
        select(own.minute, func.sum(own.records), func.sum(own.dead_lettered))
        .where(own.topic == topic, own.minute >= _time(since), own.minute <= _time(upto))
        .group_by(own.minute)
        .order_by(own.minute)
    )
    return [Minute(at.timestamp(), int(records), int(dead)) for at, records, dead in connection.execute(query)]


def _proofs(connection: Connection, settings: Settings, since: float, upto: float) -> Iterator[Sample]:
    own = reconciliation_runs.c
    query = (
        select(reconciliation_runs)
        .where(func.isfinite(own.finished_at), own.finished_at <= _time(upto))
        .where(own.finished_at >= _time(since - _LONGEST_SILENCE))
        .order_by(own.finished_at)
    )
    runs = [
        FinishedRun(
            run_id=row.run_id,
            finished_at=row.finished_at,
            verdict=row.verdict or "COULD_NOT_RUN",
            reason=row.reason or "",
            rows_compared=row.rows_compared or 0,
            report_path=row.report_path,
            boards=frozenset(map(str, row.boards)) if isinstance(row.boards, list) else None,
        )
        for row in connection.execute(query)
    ]
    found = findings_of(connection, runs)
    for board in load_boards(season=settings.season):
        judged = [found.of(run, board) for run in runs if run.about(board)]
        yield from proven(board, judged, settings, since, upto)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
