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

from gamestream_dagster.experiments.plan import MetricKind
from gamestream_dagster.experiments.sample import Before, Moments
from gamestream_dagster.experiments.sequential import always_valid_p, half_width, tuned

_LEAST_EXPECTED: Final = 5
"""Cochran's rule: below it in any cell of the table, the normal approximation is not used."""
_FAR: Final = 1_000
"""Standard deviations from 0 of the means that tea-tasting is given."""
_MOST_ENUMERATED: Final = 1_000_000
"""Players for which scipy's Fisher test takes milliseconds; it takes a minute for 10^9."""


class Method(StrEnum):
    """How a p-value is computed."""

    SCORE = "score test"  # pooled variance with Miettinen and Nurminen's correction
    FISHER = "Fisher's exact test"
    BINOMIAL = "exact binomial test"  # Fisher's limit, for more players than it can enumerate
    WELCH = "Welch's t-test"
    CUPED = "Welch's t-test, CUPED"  # of what the values before the experiment do not explain
    ALWAYS_VALID = "confidence sequence"  # holds at every look
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
        found: Any = test_proportions_2indep(successes, players, successes_0, players_0, method="score", compare="diff")
    return float(found.pvalue), Method.SCORE


def _exact_test(successes_0: int, players_0: int, successes: int, players: int) -> tuple[float, Method]:
    from scipy.stats import binomtest, fisher_exact

    all_players, hits = players_0 + players, successes_0 + successes
    if all_players <= _MOST_ENUMERATED:
        table = [[successes, players - successes], [successes_0, players_0 - successes_0]]
        exact: Any = fisher_exact(table)
        return min(1.0, float(exact.pvalue)), Method.FISHER
    # The smallest margin of the table is tiny beside the players: its members are drawn as if with replacement.
    trials, found, chance = min(
        (players, successes, hits / all_players),
        (players_0, successes_0, hits / all_players),
        (hits, successes, players / all_players),
        (all_players - hits, players - successes, players / all_players),
    )
    return float(binomtest(found, trials, chance).pvalue), Method.BINOMIAL


def compare_means(control: Moments, variant: Moments, alpha: float, *, use_t: bool = True) -> Estimate:
    """Difference of two means, adjusted by their values before the experiment where these are known.

    Args:
        control: as in `compare_proportions`.
        variant: likewise.
        alpha: likewise.
        use_t: by Student's distribution; else by the normal one.
    """
    difference = variant.mean - control.mean
    if min(control.count, variant.count) < 2:
        return Estimate(difference, None, None, 1.0, Method.NONE, "an arm has fewer than two players")
    if control.variance == variant.variance == 0:
        note = "no variance: all players of an arm have one value"
        return Estimate(difference, None, None, 1.0, Method.NONE, note)
    from tea_tasting.metrics import Mean

    covariate = "before" if _has_before(control, variant) else None
    metric = Mean("value", covariate, use_t=use_t, equal_var=False, confidence_level=1 - alpha)
    origin = control.mean - _FAR * (abs(difference) + math.sqrt(control.variance) + math.sqrt(variant.variance))
    found = metric.analyze_aggregates(_aggregates(control, origin), _aggregates(variant, origin))
    low, high = float(found.effect_size_ci_lower), float(found.effect_size_ci_upper)
    method = Method.CUPED if covariate else Method.WELCH
    return Estimate(float(found.effect_size), low, high, float(found.pvalue), method)


def _has_before(control: Moments, variant: Moments) -> bool:
    """Whether values before the experiment tell players apart; else they adjust nothing."""
    befores = [one.before for one in (control, variant) if one.before is not None]
    return len(befores) == 2 and any(one.variance > 0 for one in befores)


def _aggregates(moments: Moments, origin: float) -> Any:
    """Moments as tea-tasting takes them, counted from an origin.

    A difference does not depend on it. Its interval of the ratio of two means, which we do not use, does: the
    exponential in it overflows for means near 0.
    """
    from tea_tasting.aggr import Aggregates

    before = moments.before or Before(0.0, 0.0, 0.0)
    return Aggregates(
        count_=moments.count,
        mean_={"value": moments.mean - origin, "before": before.total / moments.count},
        var_={"value": moments.variance, "before": before.variance},
        cov_={("value", "before"): before.covariance},
    )


def compare_at_any_time(
    kind: MetricKind, control: Moments, variant: Moments, alpha: float, planned_players: float
) -> Estimate:
    """Difference that may be looked at after every player.

    Args:
        kind: proportion or mean.
        control: with `sequential.LEAST_PLAYERS` players at least.
        variant: likewise.
        alpha: the interval covers at all times with probability 1 - alpha.
        planned_players: in both arms, where the interval is narrowest.
    """
    fixed = (
        _near_normal(control, variant, alpha)
        if kind is MetricKind.PROPORTION
        else compare_means(control, variant, alpha, use_t=False)
    )
    if fixed.low is None or fixed.high is None:
        return fixed
    from scipy.stats import norm

    error = (fixed.high - fixed.low) / 2 / float(norm.isf(alpha / 2))
    players, mixture = control.count + variant.count, tuned(planned_players, alpha)
    half = float(half_width(error, players, mixture, alpha))
    p_value = float(always_valid_p(fixed.difference, error, players, mixture))
    low, high = fixed.difference - half, fixed.difference + half
    return Estimate(fixed.difference, low, high, p_value, Method.ALWAYS_VALID)


def _near_normal(control: Moments, variant: Moments, alpha: float) -> Estimate:
    """The raw difference of two rates, with an interval as wide as Agresti and Caffo's, which has a width at 0."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        variant.total, variant.count, control.total, control.count, method="agresti-caffo", compare="diff", alpha=alpha
    )
    difference, half = variant.mean - control.mean, float(high - low) / 2
    return Estimate(difference, difference - half, difference + half, 1.0, Method.NONE)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that the chance of any wrong rejection is bounded, by Holm's step-down procedure."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    corrected: Any = multipletests(p_values, method="holm")[1]
    return [min(1.0, float(one)) for one in corrected]


def least_players_for_mean(skewness: float | None) -> float:
    """Players an arm needs for a mean's interval to hold: 355 times the squared skewness.

    Kohavi et al., Seven Rules of Thumb for Web Site Experimenters (KDD 2014), rule 7.
    """
    return 355 * skewness**2 if skewness is not None and math.isfinite(skewness) else 0.0
