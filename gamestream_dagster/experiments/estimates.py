"""Differences between two arms, each by a library: statsmodels for proportions and Holm, tea-tasting for means.

The interval of a difference of proportions is Newcombe's: it stays within [-1, 1] and has a width at 0 and n successes,
where Wald's has none and statsmodels' inversion of the score test fails. Its p-value is that of the score test, or
Fisher's exact one where the normal approximation does not hold. Means are compared by Welch's t-test.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gamestream_dagster.experiments.sample import Moments

_LEAST_EXPECTED: Final = 5
"""Cochran's rule: below it in any cell of the table, the normal approximation is not used."""
_MOST_ENUMERATED: Final = 1_000_000
"""Players for which scipy's Fisher test takes milliseconds; it takes a minute for 10^9."""


class Method(StrEnum):
    """How a p-value is computed."""

    SCORE = "score test"  # pooled variance with Miettinen and Nurminen's correction
    FISHER = "Fisher's exact test"
    BINOMIAL = "exact binomial test"  # Fisher's limit, for more players than it can enumerate
    WELCH = "Welch's t-test"
    NONE = "none"


@dataclass(frozen=True)
class Estimate:
    """A variant minus the control."""

    difference: float
    low: float | None
    """Ends of the confidence interval; None where there is none."""
    high: float | None
    p_value: float
    """Two-sided. 1 where nothing can be tested: such a comparison still counts in Holm's correction."""
    method: Method
    note: str | None = None
    """Why there is no test."""


def compare_proportions(control: Moments, variant: Moments, alpha: float) -> Estimate:
    """Difference of two rates.

    Args:
        control: successes out of players.
        variant: likewise.
        alpha: the interval covers with probability 1 - alpha.
    """
    if not control.count or not variant.count:
        return Estimate(variant.mean - control.mean, None, None, 1.0, Method.NONE, "an arm has no players")
    low, high = proportion_interval(variant.total, variant.count, control.total, control.count, alpha)
    p_value, method = _proportion_test(round(control.total), control.count, round(variant.total), variant.count)
    note = "no player, or every player, of both arms" if method is Method.NONE else None
    # At 0 and n of both arms the ends are -1 and 1 up to the last digit.
    return Estimate(variant.mean - control.mean, max(-1.0, float(low)), min(1.0, float(high)), p_value, method, note)


def proportion_interval(successes: Any, players: Any, successes_0: Any, players_0: Any, alpha: float) -> Any:
    """Newcombe's interval of the first rate minus the second; numbers or arrays of one shape."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    return confint_proportions_2indep(
        successes, players, successes_0, players_0, method="newcomb", compare="diff", alpha=alpha
    )


def _proportion_test(successes_0: int, players_0: int, successes: int, players: int) -> tuple[float, Method]:
    hits, all_players = successes_0 + successes, players_0 + players
    if hits in {0, all_players}:
        return 1.0, Method.NONE
    if min(hits, all_players - hits) * min(players_0, players) / all_players < _LEAST_EXPECTED:
        return _exact_test(successes_0, players_0, successes, players)
    from statsmodels.stats.proportion import test_proportions_2indep

    with warnings.catch_warnings():  # its odds ratio divides by zero, and is not used
        warnings.simplefilter("ignore", RuntimeWarning)
        found = test_proportions_2indep(successes, players, successes_0, players_0, method="score", compare="diff")
    return float(found.pvalue), Method.SCORE


def _exact_test(successes_0: int, players_0: int, successes: int, players: int) -> tuple[float, Method]:
    from scipy.stats import binomtest, fisher_exact

    all_players, hits = players_0 + players, successes_0 + successes
    if all_players <= _MOST_ENUMERATED:
        table = [[successes, players - successes], [successes_0, players_0 - successes_0]]
        return min(1.0, float(fisher_exact(table).pvalue)), Method.FISHER
    # The smallest margin of the table is tiny beside the players: its members are drawn as if with replacement.
    trials, found, chance = min(
        (players, successes, hits / all_players),
        (players_0, successes_0, hits / all_players),
        (hits, successes, players / all_players),
        (all_players - hits, players - successes, players / all_players),
    )
    return float(binomtest(found, trials, chance).pvalue), Method.BINOMIAL


def compare_means(control: Moments, variant: Moments, alpha: float) -> Estimate:
    """Difference of two means; arguments as in `compare_proportions`."""
    difference = variant.mean - control.mean
    if min(control.count, variant.count) < 2:
        return Estimate(difference, None, None, 1.0, Method.NONE, "an arm has fewer than two players")
    if control.variance == variant.variance == 0:
        note = "no variance: all players of an arm have one value"
        return Estimate(difference, None, None, 1.0, Method.NONE, note)
    from tea_tasting.metrics import Mean

    found = Mean("value", use_t=True, equal_var=False, confidence_level=1 - alpha).analyze_aggregates(
        _aggregates(control), _aggregates(variant)
    )
    low, high = float(found.effect_size_ci_lower), float(found.effect_size_ci_upper)
    return Estimate(difference, low, high, float(found.pvalue), Method.WELCH)


def _aggregates(moments: Moments) -> Any:
    from tea_tasting.aggr import Aggregates

    return Aggregates(count_=moments.count, mean_={"value": moments.mean}, var_={"value": moments.variance})


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that the chance of any wrong rejection is bounded, by Holm's step-down procedure."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    return [min(1.0, float(one)) for one in multipletests(p_values, method="holm")[1]]


def least_players_for_mean(skewness: float | None) -> float:
    """Players an arm needs for a mean's interval to hold: 355 times the squared skewness.

    Kohavi et al., Seven Rules of Thumb for Web Site Experimenters (KDD 2014), rule 7.
    """
    return 355 * skewness**2 if skewness is not None and math.isfinite(skewness) else 0.0
