"""Power: the smallest difference that a design shows, by statsmodels for proportions and tea-tasting for means."""

from __future__ import annotations

from typing import Any

from gamestream_dagster.experiments.plan import MetricKind
from gamestream_dagster.experiments.sample import Moments


def smallest_effect(kind: MetricKind, control: Moments, variant: Moments, alpha: float, power: float) -> float | None:
    """Smallest difference that these many players show with this power, in the metric's unit.

    Without the correction for several comparisons.

    Args:
        kind: proportion or mean.
        control: whose rate, or whose variance, is assumed for both arms.
        variant: how many players it has.
        alpha: of the two-sided test.
        power: probability that the difference is shown.

    Returns:
        None where no difference is large enough, or nothing varies.
    """
    if min(control.count, variant.count) < 2 or not control.variance:
        return None
    if kind is MetricKind.PROPORTION:
        return _of_proportion(control.mean, control.count, variant.count, alpha, power)
    return _of_mean(control.variance, control.count, variant.count, alpha, power)


def _of_proportion(rate: float, players_0: int, players: int, alpha: float, power: float) -> float | None:
    from scipy.optimize import brentq
    from statsmodels.stats.proportion import power_proportions_2indep

    def lacking(difference: float) -> float:
        ratio: Any = players_0 / players  # typed as an integer, and used as a number
        found: Any = power_proportions_2indep(difference, rate, players, ratio=ratio, alpha=alpha)
        return float(found.power) - power

    # The direction with more room; 1 - rate itself would be a rate without variance.
    largest = (1 - rate) * (1 - 1e-9) if rate <= 0.5 else -rate * (1 - 1e-9)
    if lacking(largest) < 0:
        return None
    least: Any = brentq(lacking, 0.0, largest)
    return abs(float(least))


def _of_mean(variance: float, players_0: int, players: int, alpha: float, power: float) -> float:
    from tea_tasting.aggr import Aggregates
    from tea_tasting.metrics import Mean

    metric = Mean("value", use_t=True, equal_var=False, alpha=alpha, power=power, ratio=players / players_0)
    data = Aggregates(count_=players_0 + players, mean_={"value": 1.0}, var_={"value": variance})
    return float(metric.solve_power_from_aggregates(data, "effect_size")[0].effect_size)
