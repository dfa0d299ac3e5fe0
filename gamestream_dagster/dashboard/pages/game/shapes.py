"""How a settled metric is shown, by its key and columns alone: no page names a metric."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gamestream_dagster.catalogue.metrics import Metric, MetricType
from gamestream_dagster.dashboard.metric_values import is_share

_NUMBERS: Final = frozenset({MetricType.BIGINT, MetricType.DOUBLE, MetricType.DECIMAL})
_OF_ONE: Final = ("user_id", "user_key", "friend_id", "event_id")
_MONEY: Final = "USD"


class Shape(StrEnum):
    """What the rows of one day are."""

    SERIES = "series"  # one row: a point of a line
    COHORTS = "cohorts"  # one row for each cohort and its age: a triangle
    TABLE = "table"  # one row for each value of a dimension


@dataclass(frozen=True)
class Shown:
    """A metric and how it is shown."""

    metric: Metric
    shape: Shape

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The key without the day."""
        return tuple(name for name in self.metric.key if name != self.metric.partition)

    @property
    def measures(self) -> tuple[str, ...]:
        """The columns that are numbers and no part of the key."""
        columns = self.metric.columns.items()
        return tuple(name for name, one in columns if one.type in _NUMBERS and name not in self.metric.key)

    @property
    def main(self) -> str:
        """The measure that is drawn: of a triangle the first ratio, else the first one in money, else the first."""
        wanted, unit = (MetricType.DOUBLE, None) if self.shape is Shape.COHORTS else (MetricType.DECIMAL, _MONEY)
        columns = self.metric.columns
        fits = (name for name in self.measures if columns[name].type is wanted and unit in (None, columns[name].unit))
        return next(fits, self.measures[0])

    @property
    def is_numbered(self) -> bool:
        """A table whose dimension counts, such as a level: its rows have an order of their own."""
        return self.shape is Shape.TABLE and self.metric.columns[self.dimensions[0]].type is MetricType.BIGINT

    @property
    def ratio(self) -> str | None:
        """The first measure that is a share."""
        return next((name for name in self.measures if is_share(self.metric.columns[name])), None)

    @property
    def cohort(self) -> str:
        """The dimension of a triangle that is a date."""
        return next(name for name in self.dimensions if self.metric.columns[name].type is MetricType.DATE)

    @property
    def age(self) -> str:
        """The column of a triangle that counts days since the cohort began."""
        return next(name for name, one in self.metric.columns.items() if one.unit == "days")


def shown(metrics: dict[str, Metric]) -> list[Shown]:
    """The metrics that a page can show: series, then triangles, then tables; none about single players or events."""
    found = [
        Shown(metric, shape)
        for metric in metrics.values()
        if (shape := shape_of(metric)) is not None and not _repeats(metric, metrics)
    ]
    order = list(Shape)
    return sorted(found, key=lambda one: (order.index(one.shape), one.metric.title))


def _repeats(metric: Metric, metrics: dict[str, Metric]) -> bool:
    """It holds nothing but columns of another metric with the same key, as a feature store does."""
    others = (metrics[name] for name in metric.upstream if metrics[name].key == metric.key)
    return any(set(metric.columns) <= set(other.columns) for other in others)


def shape_of(metric: Metric) -> Shape | None:
    """The shape of a metric; None for rows about single players or events, and for those without a number."""
    dimensions = [name for name in metric.key if name != metric.partition]
    if metric.divided or any(name.endswith(_OF_ONE) for name in dimensions):
        return None
    if not any(one.type in _NUMBERS and name not in metric.key for name, one in metric.columns.items()):
        return None
    if not dimensions:
        return Shape.SERIES
    is_dated = any(metric.columns[name].type is MetricType.DATE for name in dimensions)
    counts_days = any(one.unit == "days" for one in metric.columns.values())
    return Shape.COHORTS if is_dated and counts_days else Shape.TABLE
