"""What Postgres knows about proofs: runs, causes, ledgers. Independent of Streamlit; every query is bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gamestream_dagster.fates.outputs import INTAKE_JOB
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_by_board
from gamestream_dagster.warehouse.tables import (
    WHOLE_PARTITION,
    differences,
    ingest_counts,
    job_ledger,
    ledger,
    live_comparisons,
    reconciliation_runs,
    reconciliation_topics,
)

TREND_RUNS = 60
CAUSES_SHOWN = 20
ROWS_SHOWN = 12
MINUTES = 60
LIVE_SHOWN = 12

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Differing:
    """Rows of a board that differ; `accepted` if the policy accepts all of them."""

    rows: int
    accepted: bool


@dataclass(frozen=True)
class Proofs:
    """One read. Rows are as the tables have them; empty where there are none yet, or where a table is missing."""

    read_at: datetime
    missing: frozenset[str] = frozenset()
    """Tables of this page that are not there."""
    runs: Sequence[Row] = ()
    """The newest finished runs, newest first."""
    by_board: Mapping[str, FinishedRun] = field(default_factory=dict[str, FinishedRun])
    differing: Mapping[str, Differing] = field(default_factory=dict[str, Differing])
    """What differs in the newest run of each board; nothing for a board without differences."""
    causes: Sequence[Row] = ()
    """Differences of `runs` by cause."""
    rows: Sequence[Row] = ()
    """Differences of the newest run that has some."""
    ledgers: Sequence[Row] = ()
    """The newest balance of each topic."""
    minutes: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    """The last minutes that the archive counted, by topic, oldest first."""
    http: Sequence[Row] = ()
    """What the HTTP API counted in each of the last minutes, oldest first."""
    intake: Row | None = None
    """What the job of intake counted since it began."""
    live: Sequence[Row] = ()
    """Comparisons of settled days with what was streamed of them, newest day first."""


NEEDED = (reconciliation_runs, reconciliation_topics, differences, ledger, ingest_counts, job_ledger)


def read_proofs(link: Connection, present: frozenset[str], boards: Sequence[str]) -> Proofs:
    """Everything about the proofs of `boards`, in the transaction of `link`."""
    now = datetime.now(UTC)
    missing = frozenset(table.name for table in NEEDED) - present
    found: dict[str, Any] = {"read_at": now, "missing": missing}
    if not missing & {reconciliation_runs.name, reconciliation_topics.name, differences.name}:
        found |= _runs(link, boards)
        if ledger.name in present:
            found["minutes"] = {one["topic"]: _minutes(link, one) for one in found["ledgers"]}
    if ingest_counts.name in present:
        found["http"] = _http(link, now)
    if job_ledger.name in present:
        found["intake"] = _intake(link)
    if live_comparisons.name in present:
        newest = live_comparisons.c.day.desc(), live_comparisons.c.metric
        found["live"] = _rows(link, sa.select(live_comparisons).order_by(*newest).limit(LIVE_SHOWN))
    return Proofs(**found)


def _runs(link: Connection, boards: Sequence[str]) -> dict[str, Any]:
    one = reconciliation_runs.c
    columns = (
        one.run_id, one.finished_at, one.mode, one.verdict, one.reason, one.rows_compared, one.rows_different,
        one.rows_unexplained, one.bracket_events, one.seconds, one.report_path,
    )  # fmt: skip
    newest = sa.select(*columns).where(sa.func.isfinite(one.finished_at)).order_by(one.finished_at.desc())
    runs = _rows(link, newest.limit(TREND_RUNS))
    ids = [run["run_id"] for run in runs]
    with_rows = next((run["run_id"] for run in runs if run["rows_different"]), None)
    by_board = newest_by_board(link, boards) if runs else {}
    return {
        "runs": runs,
        "by_board": by_board,
        "differing": _differing(link, by_board),
        "causes": _causes(link, ids),
        "rows": _differences(link, with_rows) if with_rows else (),
        "ledgers": _ledgers(link, ids),
    }


def _differing(link: Connection, by_board: Mapping[str, FinishedRun]) -> dict[str, Differing]:
    found = differences.c
    ours = sa.tuple_(found.run_id, found.board).in_([(run.run_id, board) for board, run in by_board.items()])
    place = sa.func.coalesce(sa.cast(found.rnk, sa.Text), found.entity)
    accepted = sa.func.coalesce(sa.func.bool_and(found.accepted), False)
    rows = sa.func.count(place.distinct())
    query = sa.select(found.board, rows.label("rows"), accepted.label("accepted")).where(ours).group_by(found.board)
    return {row.board: Differing(row.rows, row.accepted) for row in link.execute(query)} if by_board else {}


def _causes(link: Connection, ids: Sequence[str]) -> list[Row]:
    found = differences.c
    query = (
        sa.select(
            found.cause,
            sa.func.count().label("found"),
            sa.func.count(found.run_id.distinct()).label("runs"),
            sa.func.count().filter(found.accepted).label("accepted"),
            sa.func.array_agg(found.board.distinct()).label("boards"),
            sa.func.max(found.action).label("action"),
        )
        .where(found.run_id.in_(ids))
        .group_by(found.cause)
        .order_by(sa.func.count().desc(), found.cause)
    )
    return _rows(link, query.limit(CAUSES_SHOWN))


def _differences(link: Connection, run_id: str) -> list[Row]:
    found = differences.c
    columns = (
        found.run_id, found.board, found.sink, found.rnk, found.entity, found.kind, found.column_name, found.streamed,
        found.recomputed, found.cause, found.accepted, found.explanation, found.action,
    )  # fmt: skip
    return _rows(
        link, sa.select(*columns).where(found.run_id == run_id).order_by(found.difference_id).limit(ROWS_SHOWN)
    )


def _ledgers(link: Connection, ids: Sequence[str]) -> list[Row]:
    runs, of_topic = reconciliation_runs.c, reconciliation_topics.c
    query = (
        sa.select(of_topic.topic, of_topic.ledger, runs.run_id, runs.finished_at, runs.report_path)
        .join_from(reconciliation_topics, reconciliation_runs)
        .where(of_topic.run_id.in_(ids), sa.func.jsonb_typeof(of_topic.ledger) == "object")
        .distinct(of_topic.topic)
        .order_by(of_topic.topic, runs.finished_at.desc())
    )
    return _rows(link, query.limit(20))


def _minutes(link: Connection, counted: Row) -> list[Row]:
    """The last hour before the run that counted it: a range of the key, for each partition."""
    one, upto = ledger.c, counted["finished_at"]
    sums = [sa.func.sum(one[name]).label(name) for name in ("accepted", "duplicate", "late", "dead_lettered")]
    query = (
        sa.select(one.minute, *sums)
        .where(one.topic == counted["topic"], one.minute.between(upto - timedelta(minutes=MINUTES), upto))
        .group_by(one.minute)
        .order_by(one.minute)
    )
    return _rows(link, query.limit(MINUTES + 1))


def _http(link: Connection, now: datetime) -> list[Row]:
    one = ingest_counts.c
    sums = [sa.func.sum(one[name]).label(name) for name in ("received", "accepted", "duplicate", "refused", "retry")]
    query = (
        sa.select(one.minute, *sums)
        .where(one.minute.between(now - timedelta(minutes=MINUTES), now))
        .group_by(one.minute)
        .order_by(one.minute)
    )
    return _rows(link, query.limit(MINUTES + 1))


def _intake(link: Connection) -> Row | None:
    one = job_ledger.c
    sums = [sa.func.sum(one[name]).label(name) for name in ("records", "accepted", "duplicate")]
    query = sa.select(*sums).where(one.job == INTAKE_JOB, one.minute_millis == WHOLE_PARTITION)
    row = link.execute(query).mappings().one()
    return dict(row) if row["records"] is not None else None


def _rows(link: Connection, query: sa.Executable) -> list[Row]:
    return [dict(row) for row in link.execute(query).mappings()]
