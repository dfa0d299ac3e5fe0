"""The states and samples of the rules in Postgres, and one evaluation of all of them in one transaction."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.alerts.look import Evaluated, look
from gamestream_dagster.alerts.machine import AlertState, Standing
from gamestream_dagster.alerts.rules import Book
from gamestream_dagster.alerts.samples import Recorded, Sample, labels_of
from gamestream_dagster.alerts.store import Alert, Change, clear_on, raise_on, write_message
from gamestream_dagster.warehouse.tables import alert_samples, alert_states

SOURCE: Final = "alert_rules"
_LOCK_KEY: Final = 7_201_619
_SPARE_SECONDS: Final = 900.0
"""Samples are kept a little longer than a condition looks back."""


@dataclass(frozen=True)
class StoredState:
    """A row of `alert_states`."""

    alert_id: str
    rule: str
    labels: Mapping[str, str]
    standing: Standing
    value: float | None
    message: str
    why: str


def record(
    connection: Connection, book: Book, collected: Sequence[Sample], failed: Mapping[str, str], now: float
) -> list[Evaluated]:
    """Evaluate every rule with what was collected, and write what follows, in the connection's transaction.

    A second evaluator waits, and then sees the states of the first.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    before = {(one.rule, labels_of(one.labels)): one.standing for one in states(connection)}
    past = _history(connection, book, now)
    _keep(connection, book, collected, now)
    found = look(book, Recorded(now, collected, past), failed, before, now)
    for one in found:
        _write(connection, one)
    _forget(connection, book, found)
    return found


def states(connection: Connection) -> list[StoredState]:
    """Every state, by rule and labels."""
    rows = connection.execute(select(alert_states).order_by(alert_states.c.rule, alert_states.c.alert_id))
    return [
        StoredState(
            alert_id=row.alert_id,
            rule=row.rule,
            labels=row.labels,
            standing=Standing(
                state=AlertState(row.state),
                since=row.since,
                evaluated_at=row.evaluated_at,
                pending_since=row.pending_since,
                fired_at=row.fired_at,
                told_blind=row.told_blind,
            ),
            value=row.value,
            message=row.message,
            why=row.why,
        )
        for row in rows
    ]


def _history(connection: Connection, book: Book, now: float) -> list[Sample]:
    found: list[Sample] = []
    for series, seconds in book.kept.items():
        kept = alert_samples.c
        query = select(alert_samples).where(kept.series == series, kept.at > now - seconds - _SPARE_SECONDS)
        found += [Sample(series, _labels(row.labels), row.at, row.value) for row in connection.execute(query)]
    return found


def _keep(connection: Connection, book: Book, collected: Iterable[Sample], now: float) -> None:
    """Write the samples that a condition will look back at; delete the ones that none does any more."""
    rows = [
        {"series": one.series, "at": one.at, "labels": json.dumps(dict(one.labels)), "value": one.value}
        for one in collected
        if one.series in book.kept and not math.isnan(one.value)
    ]
    if rows:
        connection.execute(insert(alert_samples).on_conflict_do_nothing(), rows)
    kept = alert_samples.c
    for series, seconds in book.kept.items():
        connection.execute(delete(alert_samples).where(kept.series == series, kept.at < now - seconds - _SPARE_SECONDS))
    connection.execute(delete(alert_samples).where(kept.series.not_in(list(book.kept))))


def _write(connection: Connection, one: Evaluated) -> None:
    if one.has_ended and not one.standing.is_open and one.change is None:
        connection.execute(delete(alert_states).where(alert_states.c.alert_id == one.alert_id))
        return
    values = {
        "rule": one.rule.name,
        "labels": dict(one.labels),
        "state": one.standing.state.value,
        "since": one.standing.since,
        "evaluated_at": one.standing.evaluated_at,
        "pending_since": one.standing.pending_since,
        "fired_at": one.standing.fired_at,
        "told_blind": one.standing.told_blind,
        "value": one.value,
        "message": one.message,
        "why": one.why,
    }
    statement = insert(alert_states).values(alert_id=one.alert_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["alert_id"], set_=values))
    if one.standing.state is AlertState.FIRING:
        raise_on(connection, _alert(one))
    elif one.change is Change.CLEARED:
        clear_on(connection, one.alert_id)
    elif one.change is Change.BLIND:
        write_message(connection, Change.BLIND, _alert(one))


def _forget(connection: Connection, book: Book, found: Iterable[Evaluated]) -> None:
    """A rule that is gone has no states, and its alerts end."""
    names = {one.rule.name for one in found} | {rule.name for rule in book.rules if rule.condition}
    gone = connection.execute(
        delete(alert_states).where(alert_states.c.rule.not_in(names)).returning(alert_states.c.alert_id)
    )
    for (alert_id,) in gone.all():
        clear_on(connection, alert_id)


def _alert(one: Evaluated) -> Alert:
    facts: dict[str, Any] = {
        "condition": one.rule.condition,
        "labels": dict(one.labels),
        "value": _finite(one.value),
        "runbook": one.rule.runbook,
        "evidence": _plain(one.evidence),
    }
    summary = one.message
    if one.value is None:
        facts["no_data"] = one.why
        summary = f"It was firing, and there is no data: nobody knows whether it is over ({one.why})"
    return Alert(one.alert_id, SOURCE, one.rule.severity, summary, facts)


def _finite(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    return value if value is None or math.isfinite(value) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    return labels_of(json.loads(text))


def last_evaluation(connection: Connection) -> float | None:
    """When the rules were last evaluated, epoch seconds."""
    return connection.scalar(select(func.max(alert_states.c.evaluated_at)))
