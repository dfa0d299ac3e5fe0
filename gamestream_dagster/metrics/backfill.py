"""Settles a range of days: each metric of each day once, in the order in which they read each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.metrics.due import days_between
from gamestream_dagster.metrics.errors import BeforeFirstEventError, DayNotCompleteError
from gamestream_dagster.metrics.model import Settlement
from gamestream_dagster.metrics.settle import Settler


@dataclass(frozen=True)
class Step:
    """One metric of one day: its settlement, or why there is none."""

    metric: str
    day: date
    settlement: Settlement | None
    error: str = ""


@dataclass(frozen=True)
class Backfill:
    """What a backfill did."""

    steps: tuple[Step, ...]
    before_first_event: int
    """Days that were left out: the archive begins later."""

    @property
    def failed(self) -> int:
        """Steps that could not be done."""
        return sum(step.settlement is None for step in self.steps)

    @property
    def broken(self) -> int:
        """Settled steps with a check that does not hold."""
        return sum(bool(step.settlement.failed) for step in self.steps if step.settlement is not None)

    @property
    def changed(self) -> int:
        """Steps that gave a day its first or other rows."""
        return sum(step.settlement.changed for step in self.steps if step.settlement is not None)


def backfill(
    settler: Settler,
    metrics: Mapping[str, Metric],
    first: date,
    last: date,
    on_step: Callable[[Step, int], None] = lambda _step, _total: None,
) -> Backfill:
    """Settle the metrics of each day from `first` to `last`, oldest first.

    A metric that fails does not stop the others; one that needs its day fails as well. A day that is not complete ends
    the backfill: the days after it are not complete either.

    Args:
        settler: of the stack.
        metrics: what to settle, in the order of computation.
        first: day, UTC.
        last: day, UTC, included.
        on_step: called with each finished step and the number of all.

    Raises:
        BeforeFirstEventError: the archive has no event, or none up to `last`.
    """
    days = list(days_between(first, last))
    begins = settler.first_day()
    if begins is None or begins > last:
        begun = "has no game event" if begins is None else f"has no game event before {begins}"
        raise BeforeFirstEventError(f"The archive {begun}", "run `gamestream archive`, or choose later days")
    wanted = [day for day in days if day >= begins]
    total = len(wanted) * len(metrics)
    steps: list[Step] = []
    for day in wanted:
        for metric in metrics.values():
            try:
                step = Step(metric.name, day, settler.settle(metric, day))
            except DayNotCompleteError as error:
                steps.append(Step(metric.name, day, None, str(error)))
                on_step(steps[-1], total)
                return Backfill(tuple(steps), len(days) - len(wanted))
            except GamestreamError as error:
                step = Step(metric.name, day, None, str(error))
            steps.append(step)
            on_step(step, total)
    return Backfill(tuple(steps), len(days) - len(wanted))
