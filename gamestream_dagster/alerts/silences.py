"""Silences: alerts that are raised, and nobody is told."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from gamestream_dagster.alerts.errors import AlertsError
from gamestream_dagster.warehouse.tables import alert_silences

LONGEST: Final = timedelta(days=30)


@dataclass(frozen=True)
class Silence:
    """Covers the alerts of a rule that have these labels."""

    silence_id: str
    rule: str
    labels: Mapping[str, str]
    reason: str
    created_at: datetime
    ends_at: datetime

    def covers(self, rule: str, labels: Mapping[str, str]) -> bool:
        """Whether it covers an alert."""
        return self.rule == rule and all(labels.get(name) == value for name, value in self.labels.items())


def silence(connection: Connection, rule: str, labels: Mapping[str, str], lasts: timedelta, reason: str) -> Silence:
    """Begin a silence.

    Raises:
        AlertsError: it would last too long, or not at all, or has no reason.
    """
    if not timedelta(0) < lasts <= LONGEST:
        raise AlertsError(f"A silence lasts up to {LONGEST.days} days; give --for a duration such as 2h or 3d.")
    if not reason.strip():
        raise AlertsError("A silence needs a reason that the next person understands; give it with --reason.")
    values = {"silence_id": secrets.token_hex(4), "rule": rule, "labels": dict(labels), "reason": reason.strip()}
    row = connection.execute(
        alert_silences.insert()
        .values(**values, created_at=func.now(), ends_at=func.now() + lasts)
        .returning(alert_silences)
    ).one()
    return Silence(**row._mapping)


def end_silence(connection: Connection, silence_id: str) -> Silence:
    """End a silence now.

    Raises:
        AlertsError: no such silence is in force.
    """
    own = alert_silences.c
    row = connection.execute(
        alert_silences.update()
        .where(own.silence_id == silence_id, own.ends_at > func.now())
        .values(ends_at=func.now())
        .returning(alert_silences)
    ).first()
    if row is None:
        raise AlertsError(
            f"No silence {silence_id!r} is in force; see `gamestream alerts silence` for the ids of those that are."
        )
    return Silence(**row._mapping)


def in_force(connection: Connection) -> Sequence[Silence]:
    """The silences in force, the one that ends first, first."""
    rows = connection.execute(
        select(alert_silences).where(alert_silences.c.ends_at > func.now()).order_by(alert_silences.c.ends_at)
    )
    return [Silence(**row._mapping) for row in rows]
