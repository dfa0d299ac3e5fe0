"""Which days are to be settled, and why: days that are over and not settled, and days that are stale. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.metrics.model import Settled


class Why(StrEnum):
    """Why a day of a metric is due."""

    NOT_SETTLED = "NOT_SETTLED"  # it is over and was never settled
    LATE_EVENTS = "LATE_EVENTS"  # events of it were archived after it was settled
    INPUTS = "INPUTS"  # a day that it was computed from has another version now, or is settled now
    DEFINITION = "DEFINITION"  # its query, columns or window changed


@dataclass(frozen=True)
class Due:
    """A day with the metrics that are to be settled, in the order of computation."""

    day: date
    metrics: Mapping[str, Why]


def days_between(first: date, last: date) -> Iterator[date]:
    """Days, both ends included."""
    for place in range((last - first).days + 1):
        yield first + timedelta(days=place)


def due_days(
    metrics: Mapping[str, Metric],
    settled: Collection[Settled],
    begins: date,
    last: date,
    *,
    late: Collection[date] = (),
    first: date | None = None,
) -> list[Due]:
    """The days that are due, oldest first. What reads a metric that is due on the same day is due as well.

    Args:
        metrics: in the order of computation.
        settled: the newest version of every settled day.
        begins: first day with an event.
        last: last day that may be settled.
        late: days with events that were archived after they were settled.
        first: leave out days before it.
    """
    known = {(one.metric, one.day): one for one in settled}
    found: list[Due] = []
    for day in days_between(max(begins, first or begins), last):
        due: dict[str, Why] = {}
        for metric in metrics.values():
            why = _why(metric, day, known, begins=begins, due=due, late=late)
            if why is not None:
                due[metric.name] = why
        if due:
            found.append(Due(day, due))
    return found


def _why(
    metric: Metric,
    day: date,
    known: Mapping[tuple[str, date], Settled],
    *,
    begins: date,
    due: Collection[str],
    late: Collection[date],
) -> Why | None:
    settled = known.get((metric.name, day))
    if settled is None:
        return Why.NOT_SETTLED
    if settled.fingerprint != metric.fingerprint:
        return Why.DEFINITION
    if metric.reads_events and day in late:
        return Why.LATE_EVENTS
    if any(name in due for name in metric.upstream):
        return Why.INPUTS
    for name in metric.upstream:
        for at in metric.days_of(name, day, begins):
            now = known.get((name, at))
            if settled.inputs.get(name, {}).get(at) != (None if now is None else now.version):
                return Why.INPUTS
    return None
