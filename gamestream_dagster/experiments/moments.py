"""Where each metric stands in a player's list of numbers, and the moments of the arms from what SQL adds up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gamestream_dagster.experiments.plan import Plan
from gamestream_dagster.experiments.sample import Arm, Before, Moments

_NOTHING: Final = 1e-24
"""Variance over squared mean below which all values are one: what is left is rounding."""


@dataclass(frozen=True)
class Place:
    """One metric in the list of numbers; places begin at 1, as in SQL."""

    metric: str
    place: int
    before: int | None
    """Place of its value before the experiment."""


def places_of(metrics: Sequence[str], with_before: Collection[str]) -> list[Place]:
    """The metrics in their order, then the values before the experiment of some of them."""
    later = {name: len(metrics) + at for at, name in enumerate((one for one in metrics if one in with_before), start=1)}
    return [Place(name, at, later.get(name)) for at, name in enumerate(metrics, start=1)]


def arms_of(
    plan: Plan, places: Sequence[Place], moments: Iterable[Sequence[Any]], covariances: Iterable[Sequence[Any]]
) -> tuple[Arm, ...]:
    """The arms in the order of the plan.

    Args:
        plan: whose variants they are.
        places: of its metrics.
        moments: rows of `moments.sql`.
        covariances: rows of `covariances.sql`.
    """
    found: dict[tuple[str, int], Moments] = {}
    for variant, place, count, total, variance, skewness in moments:
        varies = variance is not None and variance > _NOTHING * (total / count) ** 2
        found[variant, place] = Moments(
            count, total, (variance or 0.0) if varies else 0.0, skewness if varies else None
        )
    for variant, place, total, variance, covariance in covariances:
        before = Before(total, variance or 0.0, covariance or 0.0)
        found[variant, place] = replace(found[variant, place], before=before)
    nobody = Moments(0, 0.0, 0.0)
    return tuple(
        Arm(
            variant,
            found.get((variant, 1), nobody).count,
            {one.metric: found.get((variant, one.place), nobody) for one in places},
        )
        for variant in plan.variants
    )
