"""Active alerts: one row of the table `alerts` per id, on the clock of Postgres.

An alert is raised again while its condition holds, and cleared when it does not: only the first raise and the
clearing are transitions, and the store returns which calls those were. Each transition writes a message in the same
transaction; `messages.py` gives it to the routes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, case, func, select
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.warehouse.tables import alert_messages, alerts

UNROUTED: Final = ""
"""Route of a message that is not yet given to the routes."""


class Severity(StrEnum):
    """The urgency of an alert."""

    WARNING = "warning"  # check it today
    HIGH = "high"  # something does not run
    CRITICAL = "critical"  # a number that people see may be wrong


def severity_of(word: str) -> Severity:
    """Of a row. A word that another hand wrote into it must not keep every other alert back."""
    return Severity(word) if word in [one.value for one in Severity] else Severity.HIGH


class Change(StrEnum):
    """What a message is about."""

    RAISED = "raised"
    CLEARED = "cleared"
    BLIND = "blind"  # it is active, and now there is no data: nobody knows whether it is over


@dataclass(frozen=True)
class Alert:
    """One active condition. `details` are the facts for an operator, as JSON."""

    alert_id: str
    source: str
    severity: Severity
    summary: str
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Standing:
    """An active alert and its start."""

    alert: Alert
    raised_at: datetime


class Alerts(Protocol):
    """The interface for callers; `PostgresAlerts` is the real one."""

    def raise_alert(self, alert: Alert) -> bool:
        """Raise the alert; a repetition updates it and keeps the time of the first. True when it began now."""
        ...

    def clear_alert(self, alert_id: str) -> bool:
        """Clear the alert. True when it was active."""
        ...


class PostgresAlerts:
    """The table `alerts`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def raise_alert(self, alert: Alert) -> bool:
        """Raise the alert; a repetition updates it and keeps the time of the first. True when it began now."""
        with self._engine.begin() as connection:
            return raise_on(connection, alert)

    def clear_alert(self, alert_id: str) -> bool:
        """Clear the alert. True when it was active."""
        with self._engine.begin() as connection:
            return clear_on(connection, alert_id)

    def standing(self, source: str | None = None) -> list[Standing]:
        """The active alerts, oldest first; of one source, or all."""
        query = select(alerts).where(alerts.c.cleared_at.is_(None)).order_by(alerts.c.raised_at, alerts.c.alert_id)
        if source is not None:
            query = query.where(alerts.c.source == source)
        with self._engine.connect() as connection:
            return [
                Standing(
                    Alert(row.alert_id, row.source, severity_of(row.severity), row.summary, row.details or {}),
                    row.raised_at,
                )
                for row in connection.execute(query)
            ]


def raise_on(connection: Connection, alert: Alert) -> bool:
    """As `PostgresAlerts.raise_alert`, in the connection's transaction."""
    values = {
        "source": alert.source,
        "severity": alert.severity.value,
        "summary": alert.summary,
        "details": dict(alert.details),
        "cleared_at": None,
    }
    statement = insert(alerts).values(alert_id=alert.alert_id, raised_at=func.now(), **values)
    # a cleared alert that returns is a new one
    first = case((alerts.c.cleared_at.is_(None), alerts.c.raised_at), else_=func.now())
    statement = statement.on_conflict_do_update(index_elements=["alert_id"], set_={**values, "raised_at": first})
    began = bool(connection.scalar(statement.returning(alerts.c.raised_at == func.now())))
    if began:
        write_message(connection, Change.RAISED, alert)
    return began


def clear_on(connection: Connection, alert_id: str) -> bool:
    """As `PostgresAlerts.clear_alert`, in the connection's transaction."""
    statement = alerts.update().where(alerts.c.alert_id == alert_id, alerts.c.cleared_at.is_(None))
    cleared = connection.execute(statement.values(cleared_at=func.now()).returning(alerts)).first()
    if cleared is None:
        return False
    severity = severity_of(cleared.severity)
    write_message(connection, Change.CLEARED, Alert(alert_id, cleared.source, severity, cleared.summary))
    return True


def write_message(connection: Connection, change: Change, alert: Alert) -> None:
    """A message for the routes; it counts once the transaction is committed."""
    insert_message(connection, change, alert, UNROUTED, "new")


def insert_message(connection: Connection, change: Change, alert: Alert, route: str, state: str) -> None:
    """A row of the outbox, due at once."""
    connection.execute(
        alert_messages.insert().values(
            message_id=_new_message_id(),
            alert_id=alert.alert_id,
            route=route,
            change=change.value,
            severity=alert.severity.value,
            summary=alert.summary,
            details=dict(alert.details),
            created_at=func.now(),
            state=state,
            attempts=0,
            next_attempt_at=func.now(),
        )
    )


def _new_message_id() -> str:
    """Sorts by the time at which it was made."""
    return f"{time.time_ns():016x}-{secrets.token_hex(4)}"
