"""Values and names of settled metrics as text, by what the catalogue says of their columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from gamestream_dagster.catalogue.metrics import Metric, MetricColumn, MetricType
from gamestream_dagster.dashboard.parts import per_cent


def is_share(column: MetricColumn) -> bool:
    """A number that is displayed in per cent."""
    return column.unit == "share"


def is_money(column: MetricColumn) -> bool:
    """A number of US dollars."""
    return column.unit == "USD"


def number(column: MetricColumn, value: Any) -> str:
    """A value in its unit: 41.2 %, $1,204.50, 12,345, 3.27."""
    if value is None:
        return "–"
    if is_share(column):
        return per_cent(float(value))
    if is_money(column):
        amount = float(value)
        return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"
    if column.type is MetricType.BIGINT:
        return f"{value:,}"
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return f"{value:,.0f}"
    return f"{float(value):,.2f}"


def label(metric: Metric, name: str) -> str:
    """`arpdau_usd` -> `arpdau`, since the unit is in the number; whole where another column has that name."""
    stem = name.removesuffix("_usd")
    return in_words(name if stem in metric.columns else stem)


def in_words(name: str) -> str:
    """`p95_moves` -> `p95 moves`, `refunds_usd` -> `refunds in USD`."""
    return name.replace("_usd", " in USD").replace("_", " ")
