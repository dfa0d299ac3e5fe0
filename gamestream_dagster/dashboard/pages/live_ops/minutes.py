"""The live tables and what else Postgres knows of this moment. Independent of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.alerts.overview import Overview, overview
from gamestream_dagster.alerts.rules import Book
from gamestream_dagster.dashboard.lag import read_positions
from gamestream_dagster.dashboard.pages.live_ops.abuse import ABUSE_JOB, AbuseRows, read_abuse
from gamestream_dagster.warehouse.tables import alert_states, alerts, deployments, job_ledger

RECENT: Final = timedelta(minutes=10)
ONLINE_FOR: Final = timedelta(minutes=5)
"""A player is online so long after the last event."""
OPEN_FOR: Final = timedelta(minutes=30)
"""A session is open so long after its last event."""
HISTORY: Final = timedelta(minutes=30)
_SERIES: Final = 8
_ROWS: Final = 2_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class LiveTable:
    """A table with a row for each minute and value of its dimensions."""

    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    job: str = "game_metrics_v1"
    """Writes it; deployed on request."""
    span: timedelta = RECENT
    """Rows of so many minutes are added up."""


ACTIVITY_JOB: Final = "player_activity_v1"
REGIONS: Final = LiveTable("events_by_region_1min", ("region",), ("events",))
TYPES: Final = LiveTable("events_agg_1min", ("event_type",), ("events",))
REVENUE: Final = LiveTable("revenue_1min", ("currency",), ("purchases", "gross_micros"))
FEATURES: Final = LiveTable("feature_adoption_1min", ("feature",), ("uses",))
ARMS: Final = LiveTable("ab_live", ("experiment", "variant"), ("exposures",))
REFUNDS: Final = LiveTable("refunds_1min", ("refund_currency",), ("refunds", "refunded_micros"), ACTIVITY_JOB)
ONLINE: Final = LiveTable("online_players_by_region", ("region",), ("players",), ACTIVITY_JOB, ONLINE_FOR)
OPEN: Final = LiveTable("open_sessions_by_region", ("region",), ("sessions",), ACTIVITY_JOB, OPEN_FOR)
TABLES: Final = (REGIONS, TYPES, REVENUE, REFUNDS, FEATURES, ARMS, ONLINE, OPEN)


@dataclass(frozen=True)
class Moment:
    """One read."""

    read_at: datetime
    missing: frozenset[str] = frozenset()
    """Live tables that are not there."""
    unlike: frozenset[str] = frozenset()
    """Live tables with other columns than this version expects."""
    recent: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    """Sums of the last minutes of each live table by its dimensions, the largest first."""
    regions: Sequence[Row] = ()
    """Events by minute and region of the last half hour, oldest first."""
    as_of: datetime | None = None
    """Of the newest row by region."""
    job_states: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the newest deployment of each job that writes live tables; those that were never deployed are left out."""
    positions: Sequence[Row] = ()
    alerts: Overview | None = None
    abuse: AbuseRows = field(default_factory=AbuseRows)


def read_moment(link: Connection, present: frozenset[str], book: Book) -> Moment:
    """What Postgres knows of this moment, in the transaction of `link`."""
    now = datetime.now(UTC)
    there = [one for one in TABLES if one.name in present]
    recent: dict[str, Sequence[Row]] = {}
    unlike: set[str] = set()
    regions: Sequence[Row] = ()
    for one in there:
        try:
            with link.begin_nested():
                recent[one.name] = _recent(link, one, now)
                if one is REGIONS:
                    regions = _regions(link, now)
        except ProgrammingError:  # a column is not there: told of this table alone
            unlike.add(one.name)
    known = {alerts.name, alert_states.name, "alert_silences", "alert_messages"} <= present
    return Moment(
        read_at=now,
        missing=frozenset(one.name for one in TABLES) - present,
        unlike=frozenset(unlike),
        recent=recent,
        regions=regions,
        as_of=max((row["as_of"] for row in regions if row["as_of"]), default=None),
        job_states=_job_states(link) if deployments.name in present else {},
        abuse=read_abuse(link, present),
        positions=read_positions(link) if job_ledger.name in present else (),
        alerts=overview(link, book) if known else None,
    )


def _job_states(link: Connection) -> dict[str, str]:
    one, jobs = deployments.c, sorted({ABUSE_JOB, *(table.job for table in TABLES)})
    newest = (
        sa.select(one.job, one.state)
        .where(one.job.in_(jobs))
        .distinct(one.job)
        .order_by(one.job, one.generation.desc())
        .limit(len(jobs))
    )
    return {row.job: row.state for row in link.execute(newest)}


def _recent(link: Connection, one: LiveTable, now: datetime) -> list[Row]:
    columns = {name: sa.column(name) for name in ("minute", *one.dimensions, *one.measures)}
    table = sa.table(one.name, *columns.values())
    sums = [sa.func.sum(columns[name]).label(name) for name in one.measures]
    by = [columns[name] for name in one.dimensions]
    query = (
        sa.select(*by, *sums)
        .select_from(table)
        .where(columns["minute"] > now - one.span)
        .group_by(*by)
        .order_by(sums[0].desc(), *by)
        .limit(_SERIES)
    )
    return [dict(row) for row in link.execute(query).mappings()]


def _regions(link: Connection, now: datetime) -> list[Row]:
    names = ("minute", "region", "events", "as_of", "final")
    columns = {name: sa.column(name) for name in names}
    table = sa.table(REGIONS.name, *columns.values())
    query = (
        sa.select(*columns.values())
        .select_from(table)
        .where(columns["minute"] > now - HISTORY)
        .order_by(columns["minute"], columns["region"])
        .limit(_ROWS)
    )
    return [dict(row) for row in link.execute(query).mappings()]
