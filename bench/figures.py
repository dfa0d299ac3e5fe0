"""Figures of repeated measurements, and the tables that show them. Nothing here measures anything."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """One figure over all rounds."""

    low: float
    median: float
    high: float
    rounds: int

    def as_dict(self) -> dict[str, float | int]:
        """With the names that results have."""
        return {"min": self.low, "median": self.median, "max": self.high, "rounds": self.rounds}


def spread(values: Sequence[float]) -> Spread:
    """Least, median and greatest of at least one value.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no round gave a figure")
    return Spread(min(values), statistics.median(values), max(values), len(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The least of `values` that at least `share` (0 to 1) of them do not exceed: nearest rank, never in between.

    Raises:
        ValueError: there is no value, or `share` is out of range.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Quantiles:
    """A distribution of waiting times, milliseconds."""

    p50: float
    p95: float
    p99: float
    longest: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantiles:
        """Of at least one value."""
        p50, p95, p99, longest = (round(percentile(values, share), 1) for share in (0.5, 0.95, 0.99, 1.0))
        return cls(p50, p95, p99, longest, len(values))

    def as_dict(self) -> dict[str, float | int]:
        """For results."""
        return asdict(self)


def ratio(over: float, under: float) -> float | None:
    """A quotient; None where there is nothing to divide by."""
    return None if under == 0 else over / under


def number(value: Any) -> str:
    """A figure as people read it: thousands apart, three digits that count, an absent one as a dash."""
    if value is None:
        return "–"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{round(value):,}"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


def short(text: str, width: int) -> str:
    """A text as it is, or cut to `width` characters, an ellipsis the last of them."""
    return text if len(text) <= width else text[: width - 1] + "…"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; figures stand to the right.

    Raises:
        ValueError: a row has another number of cells than there are columns.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row of {len(row)} cells under {len(columns)} columns")
    numeric = [
        all(isinstance(row[place], int | float | None) for row in rows) and bool(rows) for place in range(len(columns))
    ]
    lines = [_line(columns), _line(["---:" if right else "---" for right in numeric])]
    lines += [_line([number(cell).replace("|", "\\|") for cell in row]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def spread_cells(found: Spread | Mapping[str, float | int] | None) -> list[float | int | None]:
    """Median, least and greatest, as cells of a row."""
    if found is None:
        return [None, None, None]
    values = found.as_dict() if isinstance(found, Spread) else found
    return [values["median"], values["min"], values["max"]]
