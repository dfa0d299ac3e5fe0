"""The table `incidents`: at most one open incident per job, whose timeline only grows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, text, update

from gamestream_dagster.flink_jobs.record.incidents import ENDS, Entry, Incident, IncidentKind, Moment, Trouble
from gamestream_dagster.warehouse.tables import incidents

MAX_TEXT = 600


class IncidentStore(Protocol):
    """The incident storage that the job manager needs; `PostgresIncidents` is the real one."""

    def open(self, job: str, trouble: Trouble, since: datetime | None = None) -> None:
        """Open an incident with its entry SEEN, unless one is open. Failures before `since` do not count."""
        ...

    def add(self, job: str, moment: Moment, text: str) -> None:
        """Add an entry to the open incident, if there is one; HEALTHY and PARKED end it."""
        ...

    def history(self, job: str | None = None, limit: int = 20) -> list[Incident]:
        """Incidents, newest first; of every job when none is named."""
        ...


class PostgresIncidents:
    """The incidents in Postgres, on its clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, job: str, trouble: Trouble, since: datetime | None = None) -> None:
        """Open an incident with its entry SEEN, unless one is open."""
        with self._engine.begin() as connection:
            # serialised: sensor and executor may detect the same failure
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": f"gamestream/{job}"})
            if self._open(connection, job):
                return
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            opened = max(filter(None, (now - timedelta(seconds=trouble.age_seconds), since)), default=now)
            opened = min(opened, now)
            number = connection.execute(select(func.count()).where(incidents.c.job == job)).scalar_one() + 1
            first = _entry(opened, now, Moment.SEEN, f"{trouble.kind.value}: {trouble.summary}")
            values = {"kind": trouble.kind.value, "summary": trouble.summary[:MAX_TEXT], "attempt": 0}
            row = {"incident_id": f"{job}-i{number}", "job": job, "opened_at": opened, "timeline": [first], **values}
            connection.execute(insert(incidents).values(row))

    def add(self, job: str, moment: Moment, text: str) -> None:
        """Add an entry to the open incident, if there is one; HEALTHY and PARKED end it."""

        def grow(row: RowMapping, now: datetime) -> dict[str, Any]:
            changes: dict[str, Any] = {"timeline": [*row["timeline"], _entry(row["opened_at"], now, moment, text)]}
            if moment is Moment.SUBMITTED:
                changes["attempt"] = (row["attempt"] or 0) + 1
            return {**changes, "closed_at": now} if moment in ENDS else changes

        self._change(job, grow)

    def _change(self, job: str, change: Callable[[RowMapping, datetime], dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            row = self._open(connection, job)
            if row is None:
                return
            now = connection.execute(select(func.clock_timestamp())).scalar_one()
            statement = update(incidents).where(incidents.c.incident_id == row["incident_id"])
            connection.execute(statement.values(**change(row, now)))

    def _open(self, connection: Connection, job: str) -> RowMapping | None:
        query = select(incidents).where(incidents.c.job == job, incidents.c.closed_at.is_(None)).with_for_update()
        return connection.execute(query.order_by(incidents.c.opened_at.desc()).limit(1)).mappings().first()

    def history(self, job: str | None = None, limit: int = 20) -> list[Incident]:
        """Incidents, newest first; of every job when none is named."""
        query = select(incidents).order_by(incidents.c.opened_at.desc()).limit(limit)
        if job is not None:
            query = query.where(incidents.c.job == job)
        with self._engine.connect() as connection:
            return [_incident(row) for row in connection.execute(query).mappings()]


def _entry(opened: datetime, now: datetime, moment: Moment, said: str) -> dict[str, Any]:
    seconds = round((now - opened).total_seconds(), 3)
    return {"at": now.isoformat(), "seconds": seconds, "moment": moment.value, "text": said[:MAX_TEXT]}


def _incident(row: RowMapping) -> Incident:
    timeline = tuple(
        Entry(datetime.fromisoformat(one["at"]), one["seconds"], Moment(one["moment"]), one["text"])
        for one in row["timeline"] or ()
    )
    return Incident(
        incident_id=row["incident_id"],
        job=row["job"],
        opened_at=row["opened_at"],
        kind=IncidentKind(row["kind"]),
        summary=row["summary"] or "",
        closed_at=row["closed_at"],
        attempt=row["attempt"] or 0,
        timeline=timeline,
    )
