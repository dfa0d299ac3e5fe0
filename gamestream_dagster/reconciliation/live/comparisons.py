"""Which numbers are both streamed and settled, by the metrics' descriptions, and what the tables hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.catalogue.boards import Board, ColumnRole, ColumnType, load_boards
from gamestream_dagster.catalogue.metrics import LiveOutput, Metric, MetricType, load_metrics
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.metrics.model import Settled
from gamestream_dagster.metrics.store import SettledStore
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.live.model import Number
from gamestream_dagster.settings import Settings

EVENTS: Final = "events"
"""What settled days are computed from; it knows up to where the archive was read."""

_MOST_GROUPS: Final = 10_000

Group = tuple[str, ...]
Numbers = Mapping[Group, tuple[Number, ...]]
"""By group, one number for each compared column, in the unit of the settled one."""


@dataclass(frozen=True)
class Comparison:
    """Columns of a metric beside those of an output."""

    metric: Metric
    live: LiveOutput
    board: Board

    @property
    def name(self) -> str:
        """Both, as they are written in tables."""
        return f"{self.metric.name} and {self.board.name}"

    def in_settled_units(self, sums: Mapping[Group, Sequence[int]]) -> Numbers:
        """Sums of the output, in the units of the metric's columns."""
        units = [one.per for one in self.live.sums.values()]
        return {
            group: tuple(
                int(value) if per == 1 else Decimal(value) / per for value, per in zip(values, units, strict=True)
            )
            for group, values in sums.items()
        }


def comparisons(settings: Settings) -> list[Comparison]:
    """Everything that is streamed and settled on a stack.

    Raises:
        CouldNotLookError: a description names what cannot be added up.
    """
    boards = load_boards(season=settings.season, ranks=settings.ranks)
    found = [
        Comparison(metric, live, boards[live.output])
        for metric in load_metrics().values()
        for live in metric.live
        if live.output in boards
    ]
    for one in found:
        check(one)
    return found


def check(one: Comparison) -> None:
    """See that both sides of a comparison can be added up.

    Raises:
        CouldNotLookError: names the description, and what is wrong.
    """
    where = f"{one.metric.folder.name}/metric.yaml compares with {one.board.name}"
    columns = one.board.columns
    for name in one.live.by.values():
        if name not in one.board.entity:
            raise CouldNotLookError(f"{where} by {name!r}, which is no column of its key", "mend `live`")
    for name in (summed.of for summed in one.live.sums.values()):
        if name not in columns or columns[name].role not in (ColumnRole.SUM, ColumnRole.COUNT):
            raise CouldNotLookError(f"{where} the sum of {name!r}, whose role is not sum or count", "mend `live`")
    if len(_times(one.board)) != 1:
        raise CouldNotLookError(f"{where}, whose key does not hold one time", "take an output by minute")


def _times(board: Board) -> list[str]:
    return [name for name in board.entity if board.columns[name].type is ColumnType.TIMESTAMP]


def comparable_days(store: SettledStore, engine: Engine, found: Sequence[Comparison]) -> dict[date, dict[str, int]]:
    """Settled days that are still kept live, oldest first, each with the settlement versions of the metrics."""
    days: dict[date, dict[str, int]] = {}
    for one in found:
        if not _is_deployed(engine, one.board):
            continue
        kept = one.board.retention
        first = None if kept is None else (datetime.now(UTC) - timedelta(milliseconds=kept)).date()
        for settled in store.newest([one.metric.name], first):
            if _is_kept(one.board, settled.day):
                days.setdefault(settled.day, {})[one.metric.name] = settled.version
    return dict(sorted(days.items()))


def settled_days(
    store: SettledStore, metric: Metric, metrics: Mapping[str, Metric], day: date
) -> tuple[Settled, Settled]:
    """The newest version of a metric's day, and that of the events that it is computed from.

    Raises:
        CouldNotLookError: it is not settled, or not of the newest events.
    """
    below = [metric.name]
    for name in below:
        below += [one for one in metrics[name].upstream if one not in below]
    known = {one.metric: one for one in store.newest(below, day, day)}
    again = f"with `gamestream metrics backfill --from {day} --to {day}`"
    if metric.name not in known or EVENTS not in known:
        raise CouldNotLookError(f"{metric.name} of {day} is not settled", f"settle it {again}")
    for name in (one for one in below if one in known):
        for read in metrics[name].upstream:
            if read not in known or known[name].inputs.get(read, {}).get(day) != known[read].version:
                raise CouldNotLookError(f"{name} of {day} is not of the newest {read}", f"settle it again {again}")
    return known[metric.name], known[EVENTS]


def settled_numbers(store: SettledStore, one: Comparison, day: date) -> Numbers:
    """What the settled table says.

    Raises:
        CouldNotLookError: of more groups than are compared.
    """
    by, columns = list(one.live.by), list(one.live.sums)
    rows = store.sums(one.metric, day, by, columns, _MOST_GROUPS + 1)
    whole = {name for name in columns if one.metric.columns[name].type is MetricType.BIGINT}
    return _limited(
        one,
        {
            tuple(str(row[name]) for name in by): tuple(
                int(row[name]) if name in whole else Decimal(row[name]) for name in columns
            )
            for row in rows
        },
    )


def live_numbers(engine: Engine, one: Comparison, day: date) -> Numbers:
    """What the live table says of a day.

    Raises:
        CouldNotLookError: the job never ran, some rows of the day may be gone, or the table cannot be read.
    """
    board = one.board
    _check_kept(engine, board, day)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in board.columns]
    table = sa.table(board.name, *columns)
    at = table.c[_times(board)[0]]
    groups = [table.c[name] for name in one.live.by.values()]
    sums = [sa.func.coalesce(sa.func.sum(table.c[summed.of]), 0) for summed in one.live.sums.values()]
    query = sa.select(*groups, *sums).where(at >= begin, at < begin + timedelta(days=1)).limit(_MOST_GROUPS + 1)
    if groups:
        query = query.group_by(*groups).order_by(*groups)
    try:
        with engine.connect() as link:
            rows = [tuple(row) for row in link.execute(query)]
    except SQLAlchemyError as error:
        raise CouldNotLookError(
            f"{board.name} cannot be read ({type(error).__name__})", "see how it differs with `gamestream plan`"
        ) from error
    width = len(groups)
    return _limited(one, one.in_settled_units({tuple(map(str, row[:width])): row[width:] for row in rows}))


def _check_kept(engine: Engine, board: Board, day: date) -> None:
    if not _is_deployed(engine, board):
        raise CouldNotLookError(
            f"{board.job} was never deployed, so nothing counts live",
            f"deploy it with `gamestream jobs apply {board.job}`",
        )
    if not _is_kept(board, day):
        kept = timedelta(milliseconds=board.retention or 0)
        raise CouldNotLookError(
            f"rows of {board.name} are kept for {kept.days} days, and some of {day} may be gone",
            "compare a younger day",
        )


def _is_deployed(engine: Engine, board: Board) -> bool:
    return PostgresDeploymentStore(engine).last(board.job) is not None


def _is_kept(board: Board, day: date) -> bool:
    """Whether every live row of a day must still be there."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return board.retention is None or begin + timedelta(milliseconds=board.retention) >= datetime.now(UTC)


def _limited(one: Comparison, found: Numbers) -> Numbers:
    if len(found) > _MOST_GROUPS:
        raise CouldNotLookError(
            f"{one.name} have over {_MOST_GROUPS:,} groups, which is more than is compared",
            "compare fewer columns (`live` of the metric)",
        )
    return found
