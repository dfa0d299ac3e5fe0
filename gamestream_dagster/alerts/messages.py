"""The outbox: messages are given to routes, and each is sent until it arrived or is a day old.

The transaction that raises or clears an alert writes its message. A message is written once for each transition; one
that was sent just before a crash is sent again, because nobody can know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from gamestream_dagster.alerts.rules import Book, Route
from gamestream_dagster.alerts.silences import Silence, in_force
from gamestream_dagster.alerts.store import UNROUTED, Alert, Change, Severity, insert_message, severity_of
from gamestream_dagster.warehouse.tables import alert_messages, alerts

EXPIRES_AFTER: Final = timedelta(days=1)
KEPT: Final = timedelta(days=14)
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=15)
_MOST_ROUTED: Final = 1_000


@dataclass(frozen=True)
class Waiting:
    """A message that one route has to send."""

    message_id: str
    alert_id: str
    route: str
    change: Change
    severity: Severity
    summary: str
    details: Mapping[str, Any]
    created_at: datetime
    attempts: int


def route_messages(connection: Connection, book: Book) -> int:
    """Give new messages to the routes; returns how many rows that made. Silenced ones are given to none.

    An alert that is active and was never announced, because a silence covered it, is announced when that ends.
    """
    own = alert_messages.c
    silences = in_force(connection)
    query = select(alert_messages).where(own.route == UNROUTED).order_by(own.message_id).limit(_MOST_ROUTED)
    made = 0
    for row in connection.execute(query.with_for_update()).all():
        made += _route(connection, book, row, silences)
        connection.execute(alert_messages.delete().where(own.message_id == row.message_id))
    unannounced = select(alerts).where(alerts.c.cleared_at.is_(None), alerts.c.announced_at.is_(None))
    for row in connection.execute(unannounced.order_by(alerts.c.raised_at)).all():
        if covering(book, silences, row.alert_id, row.details) is None:
            alert = Alert(row.alert_id, row.source, severity_of(row.severity), row.summary, row.details or {})
            made += _announce(connection, book, Change.RAISED, alert)
    connection.execute(alert_messages.delete().where(own.finished_at < func.now() - KEPT))
    return made


def _route(connection: Connection, book: Book, row: Row[Any], silences: Iterable[Silence]) -> int:
    alert = Alert(row.alert_id, "", severity_of(row.severity), row.summary, row.details or {})
    change = Change(row.change)
    if change is Change.RAISED:
        silenced = covering(book, silences, alert.alert_id, alert.details) is not None
        return 0 if silenced else _announce(connection, book, change, alert)
    announced = connection.scalar(select(alerts.c.announced_at).where(alerts.c.alert_id == alert.alert_id))
    # who was not told of the beginning is not told of the end
    return 0 if announced is None else _announce(connection, book, change, alert)


def covering(
    book: Book, silences: Iterable[Silence], alert_id: str, details: Mapping[str, Any] | None
) -> Silence | None:
    """The silence that covers an alert."""
    rule = book.rule_of(alert_id)
    labels: Mapping[str, str] = (details or {}).get("labels") or {}
    if rule is None:
        return None
    if rule.raised_as:
        labels = {"alert": alert_id}
    return next((one for one in silences if one.covers(rule.name, labels)), None)


def _announce(connection: Connection, book: Book, change: Change, alert: Alert) -> int:
    if change is not Change.BLIND:
        announced = func.now() if change is Change.RAISED else None
        mine = alerts.update().where(alerts.c.alert_id == alert.alert_id)
        connection.execute(mine.values(announced_at=announced))
    routes = book.routes_of(alert.severity)
    for route in routes:
        insert_message(connection, change, alert, route.name, "waiting")
    return len(routes)


def claim(connection: Connection, route: Route, most: int) -> list[Waiting]:
    """Messages of a route that are due, oldest first; one that is not due holds back those behind it.

    Order matters: the end of an alert must not arrive before its beginning.
    """
    own = alert_messages.c
    mine = select(alert_messages).where(own.route == route.name, own.state == "waiting").order_by(own.message_id)
    rows = connection.execute(mine.limit(most)).all()
    if not rows or rows[0].next_attempt_at > connection.scalar(select(func.now())):
        return []
    return [
        Waiting(
            message_id=row.message_id,
            alert_id=row.alert_id,
            route=row.route,
            change=Change(row.change),
            severity=severity_of(row.severity),
            summary=row.summary,
            details=row.details or {},
            created_at=row.created_at,
            attempts=row.attempts,
        )
        for row in rows
    ]


def sent(connection: Connection, message_ids: Sequence[str]) -> None:
    """Note that they arrived."""
    own = alert_messages.c
    done = alert_messages.update().where(own.message_id.in_(message_ids))
    connection.execute(done.values(state="sent", finished_at=func.now(), attempts=own.attempts + 1, last_error=None))


def failed(connection: Connection, message: Waiting, reason: str) -> None:
    """Note a failed attempt; the next one is later each time."""
    pause = min(FIRST_PAUSE * 2 ** min(message.attempts, 10), LONGEST_PAUSE)
    own = alert_messages.c
    mine = alert_messages.update().where(own.message_id == message.message_id)
    connection.execute(
        mine.values(attempts=own.attempts + 1, last_error=reason[:300], next_attempt_at=func.now() + pause)
    )


def expire(connection: Connection) -> int:
    """Give up messages that are a day old; returns how many. Their alerts stand as before."""
    own = alert_messages.c
    old = alert_messages.update().where(own.state == "waiting", own.created_at < func.now() - EXPIRES_AFTER)
    return connection.execute(old.values(state="expired", finished_at=func.now())).rowcount


def waiting_by_route(connection: Connection) -> dict[str, int]:
    """How many messages each route has not sent."""
    own = alert_messages.c
    query = select(own.route, func.count()).where(own.state == "waiting").group_by(own.route)
    return dict(connection.execute(query).tuples().all())
