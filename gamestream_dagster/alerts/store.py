"""The alerts that stand: one row of the table `alerts` for each id, on the clock of Postgres.

An alert is raised again as long as its condition holds, and cleared when it does not: only the first raise and the
clearing are transitions, and the store says which calls those were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from sqlalchemy import Engine, case, func, select
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.warehouse.tables import alerts


class Severity(StrEnum):
    """How urgent an alert is."""

    WARNING = "warning"  # look at it today
    ERROR = "error"  # something does not run
    CRITICAL = "critical"  # a number that people see may be wrong


@dataclass(frozen=True)
class Alert:
    """One condition that holds. `details` are what a person needs to judge it, as JSON."""

    alert_id: str
    source: str
    severity: Severity
    summary: str
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Standing:
    """An alert that stands, and since when."""

    alert: Alert
    raised_at: datetime


class Alerts(Protocol):
    """What the callers need; `PostgresAlerts` is the real one."""

    def raise_alert(self, alert: Alert) -> bool:
        """Let the alert stand: a repetition updates it and keeps the time of the first. True when it began now."""
        ...

    def clear_alert(self, alert_id: str) -> bool:
        """End the alert. True when it stood."""
        ...


class PostgresAlerts:
    """The table `alerts`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def raise_alert(self, alert: Alert) -> bool:
        """Let the alert stand: a repetition updates it and keeps the time of the first. True when it began now."""
        values = {
            "source": alert.source,
            "severity": alert.severity.value,
            "summary": alert.summary,
            "details": dict(alert.details),
            "cleared_at": None,
        }
        statement = insert(alerts).values(alert_id=alert.alert_id, raised_at=func.now(), **values)
        # a cleared alert that comes back is a new one
        first = case((alerts.c.cleared_at.is_(None), alerts.c.raised_at), else_=func.now())
        statement = statement.on_conflict_do_update(index_elements=["alert_id"], set_={**values, "raised_at": first})
        with self._engine.begin() as connection:
            return bool(connection.scalar(statement.returning(alerts.c.raised_at == func.now())))

    def clear_alert(self, alert_id: str) -> bool:
        """End the alert. True when it stood."""
        statement = alerts.update().where(alerts.c.alert_id == alert_id, alerts.c.cleared_at.is_(None))
        with self._engine.begin() as connection:
            return connection.execute(statement.values(cleared_at=func.now())).rowcount > 0

    def standing(self, source: str | None = None) -> list[Standing]:
        """The alerts that stand, oldest first; of one source, or all."""
        query = select(alerts).where(alerts.c.cleared_at.is_(None)).order_by(alerts.c.raised_at, alerts.c.alert_id)
        if source is not None:
            query = query.where(alerts.c.source == source)
        with self._engine.connect() as connection:
            return [
                Standing(
                    Alert(row.alert_id, row.source, Severity(row.severity), row.summary, row.details or {}),
                    row.raised_at,
                )
                for row in connection.execute(query)
            ]
