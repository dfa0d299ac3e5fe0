"""Settled days in Postgres: the rows of the metrics' tables, and how they came about, changed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.archive.history import number_of
from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.metrics.errors import MetricBusyError, MetricError
from gamestream_dagster.metrics.model import Inputs, NewVersion, Reason, Settled
from gamestream_dagster.metrics.source import ArchivedUpto
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import metric_settlement_events, metric_settlements

STATEMENT_SECONDS = 1800
"""Limit of one statement: the rows of a large day are copied in one."""

MOST_CAUSES = 10_000
"""Causing events that are kept of one version."""

Row = Mapping[str, Any]
"""Values by column."""

_LOCKS = 7_201_618  # the space of our advisory locks; the second key is a hash of metric and day
_COPIED = 1 << 20
_SORT_MIB = 128


@contextmanager
def open_store(settings: Settings) -> Iterator[SettledStore]:
    """The settled days of a stack, with connections of its own."""
    built = engine(settings, statement_timeout_seconds=STATEMENT_SECONDS)
    try:
        yield SettledStore(built)
    finally:
        built.dispose()


class SettledStore:
    """The tables of metrics. Methods raise `ServiceError` when Postgres does not answer.

    Args:
        database: of the stack.
    """

    def __init__(self, database: sa.Engine) -> None:
        self._engine = database

    def newest(self, metrics: Iterable[str], first: date | None = None, last: date | None = None) -> list[Settled]:
        """The newest version of each settled day, by metric and day."""
        columns = metric_settlements.c
        newest = (
            sa.select(metric_settlements)
            .where(columns.metric.in_(list(metrics)))
            .distinct(columns.metric, columns.day)
            .order_by(columns.metric, columns.day, columns.settle_version.desc())
        )
        if first is not None:
            newest = newest.where(columns.day >= first)
        if last is not None:
            newest = newest.where(columns.day <= last)
        with _explained(), self._engine.connect() as link:
            return [_settled(row) for row in link.execute(newest)]

    def history(self, metric: str, day: date) -> list[Mapping[str, Any]]:
        """Every version of a day, oldest first."""
        columns = metric_settlements.c
        versions = (
            sa.select(metric_settlements)
            .where(columns.metric == metric, columns.day == day)
            .order_by(columns.settle_version)
        )
        with _explained(), self._engine.connect() as link:
            return [dict(row._mapping) for row in link.execute(versions)]

    def causes(self, metric: str, day: date, version: int, most: int) -> list[Mapping[str, Any]]:
        """The first events that caused a version."""
        columns = metric_settlement_events.c
        events = (
            sa.select(metric_settlement_events)
            .where(columns.metric == metric, columns.day == day, columns.settle_version == version)
            .order_by(columns.place)
            .limit(most)
        )
        with _explained(), self._engine.connect() as link:
            return [dict(row._mapping) for row in link.execute(events)]

    def rows(self, metric: Metric, day: date, most: int) -> list[dict[str, Any]]:
        """The first rows of a day, by key."""
        table = sa.table(metric.name, *(sa.column(name) for name in metric.columns))
        found = (
            sa.select(table)
            .where(table.c[metric.partition] == day)
            .order_by(*(table.c[name] for name in metric.key))
            .limit(most)
        )
        with _explained(), self._engine.connect() as link:
            return [dict(row._mapping) for row in link.execute(found)]

    def sums(self, metric: Metric, day: date, by: Sequence[str], columns: Sequence[str], most: int) -> list[Row]:
        """Sums of columns over the rows of a day, by columns of the key; at most `most` groups, in order."""
        table = sa.table(metric.name, *(sa.column(name) for name in metric.columns))
        groups = [table.c[name] for name in by]
        summed = [sa.func.coalesce(sa.func.sum(table.c[name]), 0).label(name) for name in columns]
        found = sa.select(*groups, *summed).where(table.c[metric.partition] == day).limit(most)
        if groups:
            found = found.group_by(*groups).order_by(*groups)
        with _explained(), self._engine.connect() as link:
            return [dict(row._mapping) for row in link.execute(found)]

    @contextmanager
    def alone(self, metric: str, day: date) -> Iterator[None]:
        """Let nobody else settle this day of this metric meanwhile.

        Raises:
            MetricBusyError: somebody does.
        """
        keys = {"space": _LOCKS, "key": f"{metric} {day}"}
        with _explained(), self._engine.connect() as link:
            got = link.execute(sa.text("SELECT pg_try_advisory_lock(:space, hashtext(:key))"), keys).scalar_one()
            link.rollback()
            if not got:
                raise MetricBusyError(f"Another run settles {metric} of {day}", "wait for it, then try again")
            try:
                yield
            finally:
                link.invalidate()  # ends the session, and with it the lock

    def publish(self, metric: Metric, new: NewVersion, csv: Path) -> None:
        """Replace the rows of a day and record the version, in one transaction. Readers see the old rows until then."""
        table = sa.table(metric.name, sa.column(metric.partition))
        with _explained(), self._engine.begin() as link:
            if metric.divided and not sa.inspect(link).has_table(part_name(metric, new.day)):
                _add_part(link, metric, new.day, csv)
            else:
                link.execute(sa.delete(table).where(table.c[metric.partition] == new.day))
                _copy(link, metric, metric.name, csv)
            values = _values(new)
            record = insert(metric_settlements).values(values)
            link.execute(record.on_conflict_do_update(index_elements=list(metric_settlements.primary_key), set_=values))
            if new.causes:
                link.execute(sa.insert(metric_settlement_events), list(_causes(new)))

    def drop_before(self, metric: Metric, first: date) -> list[date]:
        """Drop the rows of days before `first` and their records; returns the days."""
        columns = metric_settlements.c
        old = sa.and_(columns.metric == metric.name, columns.day < first)
        with _explained(), self._engine.begin() as link:
            days = list(link.execute(sa.select(columns.day).where(old).distinct().order_by(columns.day)).scalars())
            table = sa.table(metric.name, sa.column(metric.partition))
            if metric.divided:
                for day in days:
                    link.execute(sa.text(f"DROP TABLE IF EXISTS {_quoted(link, part_name(metric, day))}"))
            else:
                link.execute(sa.delete(table).where(table.c[metric.partition] < first))
            events = metric_settlement_events.c
            link.execute(sa.delete(metric_settlement_events).where(events.metric == metric.name, events.day < first))
            link.execute(sa.delete(metric_settlements).where(old))
        return days


def part_name(metric: Metric, day: date) -> str:
    """Name of the part of a divided table."""
    return f"{metric.name[:54]}_{day:%Y%m%d}"


def _add_part(link: sa.Connection, metric: Metric, day: date, csv: Path) -> None:
    """Load a new part, then attach it: Postgres sorts its keys once, and does not index each row as it is copied.

    Attaching, unlike creating a part in place, lets readers go on.
    """
    name, parent = _quoted(link, part_name(metric, day)), _quoted(link, metric.name)
    link.execute(sa.text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING ALL EXCLUDING INDEXES)"))
    _copy(link, metric, part_name(metric, day), csv)
    link.execute(sa.text(f"SET LOCAL maintenance_work_mem = '{_SORT_MIB}MB'"))
    until = day + timedelta(days=1)
    link.execute(sa.text(f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{until}')"))


def _copy(link: sa.Connection, metric: Metric, table: str, csv: Path) -> None:
    driver = link.connection.driver_connection
    if driver is None:
        raise MetricError("The connection to Postgres was lost", "try again")
    columns = ", ".join(_quoted(link, name) for name in metric.columns)
    command = f"COPY {_quoted(link, table)} ({columns}) FROM STDIN (FORMAT csv)"
    with csv.open("rb") as file, driver.cursor() as cursor, cursor.copy(command) as copy:
        while chunk := file.read(_COPIED):
            copy.write(chunk)


def _quoted(link: sa.Connection, name: str) -> str:
    return link.dialect.identifier_preparer.quote_identifier(name)


def _values(new: NewVersion) -> dict[str, Any]:
    upto = new.upto
    return {
        "metric": new.metric,
        "day": new.day,
        "settle_version": new.version,
        "settled_at": datetime.now(UTC),
        "reason": new.reason.value,
        "rows": new.rows,
        "digest": new.digest,
        "fingerprint": new.fingerprint,
        "file": new.file,
        "file_sha256": new.file_sha256,
        "chapter": None if upto is None else upto.chapter,
        "archived_upto": None if upto is None else _offsets(upto.offsets),
        "history_upto": None if upto is None else upto.of_history(new.day),
        "complete_at": None if new.complete_at is None else _offsets(new.complete_at),
        "inputs": {
            metric: {day.isoformat(): version for day, version in sorted(days.items())}
            for metric, days in sorted(new.inputs.items())
        },
        "late_events": new.late_events,
        "failed_checks": list(new.failed_checks),
    }


def _offsets(offsets: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): at for partition, at in sorted(offsets.items())}


def _causes(new: NewVersion) -> Iterator[dict[str, Any]]:
    for place, event in enumerate(new.causes):
        yield {
            "metric": new.metric,
            "day": new.day,
            "settle_version": new.version,
            "place": place,
            "chapter": event.chapter,
            "partition_id": event.partition,
            "record_offset": event.offset,
            "event_id": event.event_id,
            "user_id": event.user_id,
            "event_type": event.event_type,
            "event_time": event.event_time.replace(tzinfo=UTC),
        }


def _settled(row: sa.Row[Any]) -> Settled:
    upto = None
    if row.chapter is not None:
        offsets = {int(part): at for part, at in (row.archived_upto or {}).items()}
        upto = ArchivedUpto(row.chapter, offsets, {number_of(row.day): row.history_upto or 0})
    inputs: Inputs = {
        metric: {date.fromisoformat(day): version for day, version in days.items()}
        for metric, days in row.inputs.items()
    }
    return Settled(
        metric=row.metric,
        day=row.day,
        version=row.settle_version,
        settled_at=row.settled_at,
        reason=Reason(row.reason),
        rows=row.rows,
        digest=row.digest,
        fingerprint=row.fingerprint,
        file=row.file,
        file_sha256=row.file_sha256,
        upto=upto,
        inputs=inputs,
        late_events=row.late_events,
        failed_checks=tuple(row.failed_checks),
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to do where a table is missing or not as described."""
    try:
        yield
    except ProgrammingError as error:
        said = str(error.orig).splitlines()[0] if error.orig else type(error).__name__
        raise MetricError(
            f"Postgres has no such table or column ({said})",
            "see `gamestream plan`, then create what is missing with `gamestream apply`",
        ) from error
