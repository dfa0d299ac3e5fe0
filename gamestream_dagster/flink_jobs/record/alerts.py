"""The alert that stands while a job is parked: one row of the table `alerts` for each job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Engine, case, func
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.warehouse.tables import alerts

SEVERITY = "error"


class JobAlerts(Protocol):
    """What the job manager needs of the alerts; `PostgresJobAlerts` is the real one."""

    def raise_alert(self, job: str, summary: str, details: Mapping[str, Any]) -> None:
        """Let the job's alert stand: a repetition updates it and keeps the time of the first."""
        ...

    def clear_alert(self, job: str) -> None:
        """End the job's alert, if it stands."""
        ...


class PostgresJobAlerts:
    """The alerts in Postgres, under the id and source `job/<name>`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def raise_alert(self, job: str, summary: str, details: Mapping[str, Any]) -> None:
        """Let the job's alert stand: a repetition updates it and keeps the time of the first."""
        values = {"severity": SEVERITY, "summary": summary, "details": dict(details), "cleared_at": None}
        alert = f"job/{job}"
        statement = insert(alerts).values(alert_id=alert, raised_at=func.now(), source=alert, **values)
        # a cleared alert that comes back is a new one
        first = case((alerts.c.cleared_at.is_(None), alerts.c.raised_at), else_=func.now())
        statement = statement.on_conflict_do_update(index_elements=["alert_id"], set_={**values, "raised_at": first})
        with self._engine.begin() as connection:
            connection.execute(statement)

    def clear_alert(self, job: str) -> None:
        """End the job's alert, if it stands."""
        statement = alerts.update().where(alerts.c.alert_id == f"job/{job}", alerts.c.cleared_at.is_(None))
        with self._engine.begin() as connection:
            connection.execute(statement.values(cleared_at=func.now()))
