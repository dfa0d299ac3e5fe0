"""The settled rows that the page shows. Independent of Streamlit; every query has a limit and reads roll-ups alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from gamestream_dagster.dashboard.pages.game.shapes import Shape, Shown
from gamestream_dagster.warehouse.tables import metric_settlements

DAYS: Final = 30
ROWS: Final = 200
"""Of a table; the page lists fewer, and draws all of them."""
_TRIANGLE: Final = 1_200

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """The newest settled day of a metric."""

    day: date
    version: int
    settled_at: datetime
    rows: int
    late_events: int
    failed_checks: Sequence[str]


@dataclass(frozen=True)
class Settled:
    """One read. Tables that are missing have no rows."""

    read_at: datetime
    missing: frozenset[str] = frozenset()
    standing: Mapping[str, Standing] = field(default_factory=dict[str, Standing])
    """By metric; nothing for one that was never settled."""
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    """Of a series the last days, oldest first; else the rows of the newest day."""


def read_settled(link: Connection, present: frozenset[str], metrics: Sequence[Shown]) -> Settled:
    """The newest settled day of each metric with its rows, in the transaction of `link`."""
    needed = {metric_settlements.name, *(one.metric.name for one in metrics)}
    missing = frozenset(needed - present)
    if metric_settlements.name in missing:
        return Settled(datetime.now(UTC), missing)
    there = [one for one in metrics if one.metric.name in present]
    standing = _standing(link, [one.metric.name for one in there])
    rows = {
        one.metric.name: _rows(link, one, standing[one.metric.name].day) for one in there if one.metric.name in standing
    }
    return Settled(datetime.now(UTC), missing, standing, rows)


def _standing(link: Connection, names: Sequence[str]) -> dict[str, Standing]:
    one = metric_settlements.c
    columns = (one.metric, one.day, one.settle_version, one.settled_at, one.rows, one.late_events, one.failed_checks)
    newest = (
        sa.select(*columns)
        .where(one.metric.in_(names))
        .distinct(one.metric)
        .order_by(one.metric, one.day.desc(), one.settle_version.desc())
        .limit(len(names))
    )
    return {
        row.metric: Standing(
            row.day, row.settle_version, row.settled_at, row.rows, row.late_events, tuple(map(str, row.failed_checks))
        )
        for row in link.execute(newest)
    }


def _rows(link: Connection, one: Shown, day: date) -> list[Row]:
    metric = one.metric
    table = sa.table(metric.name, *(sa.column(name) for name in metric.columns))
    at = table.c[metric.partition]
    if one.shape is Shape.SERIES:
        # newest first, so that a limit cuts off the past
        query = sa.select(table).where(at.between(day - timedelta(days=DAYS - 1), day)).order_by(at.desc()).limit(DAYS)
        return [dict(row) for row in reversed(link.execute(query).mappings().all())]
    keys = [table.c[name] for name in one.dimensions]
    query = sa.select(table).where(at == day)
    if one.shape is Shape.COHORTS:
        query = query.order_by(*keys).limit(_TRIANGLE)
    else:
        first = [] if one.is_numbered else [table.c[one.main].desc().nulls_last()]
        query = query.order_by(*first, *keys).limit(ROWS)
    return [dict(row) for row in link.execute(query).mappings()]
