"""Differences between two arms: published and hand-made cases, edges, and laws over many worlds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gamestream_dagster.experiments.estimates import (
    Method,
    compare_means,
    compare_proportions,
    holm,
    least_players_for_mean,
    proportion_interval,
)
from tests.support.experiment_worlds import of_values, rate

WORLDS = 2_000


# Newcombe 1998, Interval estimation for the difference between independent proportions, table II, method 10.
@pytest.mark.parametrize(
    ("variant", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_published_intervals_of_proportions(variant, control, low, high):
    found = compare_proportions(rate(*control), rate(*variant), 0.05)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_score_test_by_hand():
    # 30 of 100 against 50 of 100: pooled 0.4, variance 0.4 * 0.6 * 2/100 = 0.0048, times 200/199; z = 0.2 / 0.069455
    found = compare_proportions(rate(50, 100), rate(30, 100), 0.05)
    assert found.method is Method.SCORE
    assert found.difference == pytest.approx(-0.2)
    z = 0.2 / math.sqrt(0.0048 * 200 / 199)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(z), rel=1e-12)


def test_small_counts_take_fishers_exact_test():
    # 3 of 3 against 0 of 3: one table of C(6, 3) = 20 is as extreme on each side
    found = compare_proportions(rate(0, 3), rate(3, 3), 0.05)
    assert found.method is Method.FISHER
    assert found.p_value == pytest.approx(float(Fraction(2, 20)))


@pytest.mark.parametrize(
    ("control", "variant"),
    [((1, 600_000), (9, 400_001)), ((250_000, 1_000_001), (8, 9)), ((600_000, 600_000), (599_993, 600_000))],
)
def test_the_exact_test_of_many_players_is_fishers(control, variant):
    found = compare_proportions(rate(*control), rate(*variant), 0.05)
    table = [[variant[0], variant[1] - variant[0]], [control[0], control[1] - control[0]]]
    assert found.method is Method.BINOMIAL or sum(map(sum, table)) <= 1_000_000
    assert found.p_value == pytest.approx(stats.fisher_exact(table).pvalue, rel=0.01)


@pytest.mark.parametrize("players", [1, 2, 10, 1_000, 10**9])
def test_zero_one_and_all_successes_have_finite_intervals(players):
    edges = sorted({0, 1, players - 1, players})
    for successes_0 in edges:
        for successes in edges:
            found = compare_proportions(rate(successes_0, players), rate(successes, players), 0.05)
            assert found.low is not None
            assert found.high is not None
            assert -1 <= found.low < found.high <= 1
            assert found.low <= found.difference + 1e-12
            assert found.difference <= found.high + 1e-12
            assert 0 <= found.p_value <= 1


@given(st.integers(1, 300), st.integers(1, 300), st.data())
@settings(max_examples=80, deadline=None)
def test_exchanging_the_arms_turns_the_sign(players_0, players, data):
    one, other = (
        rate(data.draw(st.integers(0, players_0)), players_0),
        rate(data.draw(st.integers(0, players)), players),
    )
    there, back = compare_proportions(one, other, 0.05), compare_proportions(other, one, 0.05)
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high, abs=1e-12)
    assert there.p_value == pytest.approx(back.p_value, abs=1e-9)
    assert there.method is back.method


def test_nobody_in_an_arm_is_no_test():
    found = compare_proportions(rate(0, 0), rate(3, 9), 0.05)
    assert (found.low, found.high, found.p_value, found.method) == (None, None, 1.0, Method.NONE)


def test_welch_by_hand():
    # means 2 and 5, variances 1 and 20/3: standard error sqrt(1/3 + 5/3) = sqrt 2, df 4 / (1/18 + 25/27) = 4.0755
    found = compare_means(of_values([1, 2, 3]), of_values([2, 4, 6, 8]), 0.05)
    df = 4 / (1 / 18 + 25 / 27)
    half = stats.t(df).ppf(0.975) * math.sqrt(2)
    assert (found.low, found.high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    assert found.p_value == pytest.approx(2 * stats.t(df).sf(3 / math.sqrt(2)))
    assert found.p_value == pytest.approx(stats.ttest_ind([2, 4, 6, 8], [1, 2, 3], equal_var=False).pvalue)


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=30),
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=30),
    st.integers(-10_000, 10_000),
    st.integers(1, 100),
)
@settings(max_examples=30, deadline=None)
def test_shifting_all_changes_nothing_and_scaling_scales(control, variant, shift, scale):
    there = compare_means(of_values(control), of_values(variant), 0.05)
    moved = compare_means(
        of_values([scale * one + shift for one in control]), of_values([scale * one + shift for one in variant]), 0.05
    )
    assert moved.method is there.method
    assert moved.difference == pytest.approx(scale * there.difference, abs=1e-6)
    if there.low is not None:
        assert moved.low == pytest.approx(scale * there.low, rel=1e-6, abs=1e-6)
        assert moved.p_value == pytest.approx(there.p_value, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "values", [([-1, 1], [-1, 2]), ([0, 0, 0, 1e-9], [5, -5]), ([1e12, 1e12 + 1], [1e12, 1e12 + 4])]
)
def test_means_around_zero_and_far_from_it(values):
    found = compare_means(of_values(values[0]), of_values(values[1]), 1e-6)
    assert found.p_value == pytest.approx(stats.ttest_ind(*reversed(values), equal_var=False).pvalue, rel=1e-5)
    assert found.low < found.difference < found.high


@pytest.mark.parametrize(
    ("control", "variant", "note"),
    [
        ([3, 3, 3], [5, 5], "no variance"),
        ([3, 3, 3], [5], "fewer than two"),
        ([], [5, 6], "fewer than two"),
    ],
)
def test_means_that_cannot_be_tested_say_why(control, variant, note):
    found = compare_means(of_values(control), of_values(variant), 0.05)
    assert (found.low, found.p_value, found.method) == (None, 1.0, Method.NONE)
    assert note in str(found.note)


def test_one_arm_without_variance_is_tested():
    found = compare_means(of_values([3, 3, 3, 3]), of_values([5, 6, 7, 8]), 0.05)
    assert found.p_value == pytest.approx(stats.ttest_1samp([5, 6, 7, 8], 3).pvalue)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 1.0]) == pytest.approx([1.0, 1.0])


def test_a_skewed_mean_needs_more_players():
    assert least_players_for_mean(2.0) == 1420
    assert least_players_for_mean(None) == 0


@pytest.mark.parametrize(
    ("players_0", "rate_0", "players", "rate_1"), [(1_000, 0.448, 1_000, 0.442), (400, 0.19, 1_600, 0.182)]
)
def test_intervals_of_proportions_cover_as_often_as_they_say(players_0, rate_0, players, rate_1):
    generator = np.random.default_rng(20_261_126)
    successes_0 = generator.binomial(players_0, rate_0, WORLDS)
    successes = generator.binomial(players, rate_1, WORLDS)
    low, high = proportion_interval(successes, players, successes_0, players_0, 0.05)
    assert 0.94 <= np.mean((low <= rate_1 - rate_0) & (rate_1 - rate_0 <= high)) <= 0.96


@pytest.mark.parametrize(
    ("players_0", "rate_0", "players", "rate_1"),
    [
        (1_000, 0.448, 1_000, 0.442),
        (400, 0.19, 1_600, 0.182),
        (2_000, 0.01, 2_000, 0.012),
        (500, 0.97, 500, 0.99),
        (100, 0.3, 100, 0.3),
    ],
)
def test_intervals_of_proportions_cover_exactly(players_0, rate_0, players, rate_1):
    """Every pair of outcomes with its probability, so that chance is no excuse at rates near 0 and 1."""
    (counts_0, chances_0), (counts, chances) = _outcomes(players_0, rate_0), _outcomes(players, rate_1)
    low, high = proportion_interval(counts[:, None], players, counts_0[None], players_0, 0.05)
    covered = (low <= rate_1 - rate_0) & (rate_1 - rate_0 <= high)
    assert 0.94 <= (covered * chances[:, None] * chances_0[None]).sum() <= 0.96


def _outcomes(players: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    chances = stats.binom.pmf(np.arange(players + 1), players, rate)
    counts = np.flatnonzero(chances > 1e-10)
    return counts, chances[counts]


@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_of_means_cover_as_often_as_they_say(skewed):
    generator = np.random.default_rng(20_261_126)
    draw = generator.exponential if skewed else lambda scale, size: generator.normal(scale, scale, size)
    control, variant = draw(50.0, (WORLDS, 800)), draw(55.0, (WORLDS, 500))
    difference, half, _ = _welch(control, variant)
    assert 0.94 <= np.mean(np.abs(difference - 5) <= half) <= 0.96


def test_equal_arms_are_rejected_at_most_as_often_as_they_may():
    """A/A: three metrics in worlds without any difference. Holm rejects where three times the least p does."""
    generator, worlds = np.random.default_rng(20_261_126), 10 * WORLDS
    counts = generator.binomial(1_000, [[[0.448]], [[0.19]]], (2, 2, worlds))
    kept = _score_test(counts[:, 0], counts[:, 1], 1_000)
    played = _welch(generator.exponential(50.0, (worlds, 200)), generator.exponential(50.0, (worlds, 200)))[2]
    least = np.minimum(kept.min(axis=0), played)
    assert holm([0.02, 0.5, 0.9])[0] == pytest.approx(3 * 0.02)
    rejected = int(np.sum(3 * least < 0.05))
    assert stats.binomtest(rejected, worlds, 0.05, "greater").pvalue > 0.01
    assert np.mean(least < 0.05) > 0.1  # without the correction


def _welch(control: np.ndarray, variant: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference, half the interval and p-value of every world at once; those of some are ours to the last digits."""
    means, errors = (
        [one.mean(axis=1) for one in (control, variant)],
        [_squared_error(one) for one in (control, variant)],
    )
    together = errors[0] + errors[1]
    freedom = together**2 / sum(
        error**2 / (one.shape[1] - 1) for error, one in zip(errors, (control, variant), strict=True)
    )
    difference = means[1] - means[0]
    half = stats.t.ppf(0.975, freedom) * np.sqrt(together)
    p_values = 2 * stats.t.sf(np.abs(difference) / np.sqrt(together), freedom)
    for world in range(10):
        found = compare_means(of_values(control[world]), of_values(variant[world]), 0.05)
        assert found.low is not None
        assert (found.low, found.p_value) == pytest.approx((difference[world] - half[world], p_values[world]), rel=1e-9)
    return difference, half, p_values


def _squared_error(worlds: np.ndarray) -> np.ndarray:
    return worlds.var(axis=1, ddof=1) / worlds.shape[1]


def _score_test(successes_0: np.ndarray, successes: np.ndarray, players: int) -> np.ndarray:
    """P-values of every world at once, as `_welch`."""
    pooled = (successes_0 + successes) / (2 * players)
    error = np.sqrt(pooled * (1 - pooled) * 2 / players * 2 * players / (2 * players - 1))
    p_values = 2 * stats.norm.sf(np.abs(successes - successes_0) / players / error)
    for world in range(10):
        ours = compare_proportions(
            rate(int(successes_0[0, world]), players), rate(int(successes[0, world]), players), 0.05
        )
        assert ours.p_value == pytest.approx(p_values[0, world], rel=1e-9)
    return p_values
