"""Every alert with its state, for people and programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select

from gamestream_dagster.alerts.machine import AlertState
from gamestream_dagster.alerts.messages import covering, waiting_by_route
from gamestream_dagster.alerts.rules import Book
from gamestream_dagster.alerts.silences import Silence, in_force
from gamestream_dagster.alerts.states import StoredState, last_evaluation, states
from gamestream_dagster.warehouse.tables import alerts


@dataclass(frozen=True)
class Line:
    """One alert. Times are epoch seconds; `why` is why there is no data, or why nobody is told."""

    alert_id: str
    name: str
    state: str
    severity: str
    since: float | None
    value: float | None
    message: str
    why: str
    runbook: str

    def as_data(self) -> dict[str, Any]:
        """As JSON; infinity has no JSON."""
        data = asdict(self)
        value = self.value
        data["value"] = value if value is None or math.isfinite(value) else None
        return data


@dataclass(frozen=True)
class Overview:
    """All alerts, the worst first."""

    lines: tuple[Line, ...]
    evaluated_at: float | None
    waiting: Mapping[str, int]
    """Messages that are not sent, by route."""


_ORDER = ("firing", "silenced", AlertState.NO_DATA.value, AlertState.PENDING.value, AlertState.RESOLVED.value, "ok")


def overview(connection: Connection, book: Book) -> Overview:
    """Rules by their states, and what sensors raised."""
    silences = in_force(connection)
    stored = states(connection)
    lines = [_of_state(book, one, silences) for one in stored]
    seen = {one.rule for one in stored}
    lines += [_never(rule.name, book) for rule in book.rules if rule.condition and rule.name not in seen]
    known = {line.alert_id for line in lines}
    for row in connection.execute(select(alerts).where(alerts.c.cleared_at.is_(None)).order_by(alerts.c.raised_at)):
        if row.alert_id in known:
            continue
        rule = book.rule_of(row.alert_id)
        cover = covering(book, silences, row.alert_id, row.details)
        lines.append(
            Line(
                alert_id=row.alert_id,
                name=rule.name if rule else row.source,
                state="silenced" if cover else "firing",
                severity=row.severity,
                since=row.raised_at.timestamp(),
                value=None,
                message=row.summary,
                why=f"silence {cover.silence_id}: {cover.reason}" if cover else "",
                runbook=rule.runbook if rule else "",
            )
        )
    lines.sort(key=lambda line: (_ORDER.index(line.state), line.alert_id))
    return Overview(tuple(lines), last_evaluation(connection), waiting_by_route(connection))


def _of_state(book: Book, one: StoredState, silences: Sequence[Silence]) -> Line:
    rule = book.rule_of(one.alert_id)
    state, why = one.standing.state.value, one.why
    if one.standing.state is AlertState.FIRING:
        cover = next((silence for silence in silences if silence.covers(one.rule, one.labels)), None)
        if cover is not None:
            state, why = "silenced", f"silence {cover.silence_id}: {cover.reason}"
    if one.standing.state is AlertState.NO_DATA and one.standing.is_open:
        why = f"it was firing; {why}"
    return Line(
        alert_id=one.alert_id,
        name=one.rule,
        state=state,
        severity=rule.severity.value if rule else "",
        since=one.standing.since,
        value=one.value,
        # without a value the message of a rule has holes
        message=one.message if one.value is not None else (rule.condition if rule else ""),
        why=why,
        runbook=rule.runbook if rule else "",
    )


def _never(name: str, book: Book) -> Line:
    rule = book.rule(name)
    return Line(name, name, AlertState.NO_DATA.value, rule.severity.value, None, None, rule.condition,
                "never evaluated", rule.runbook)  # fmt: skip
