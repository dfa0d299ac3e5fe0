"""Confidence sequences: agreement of interval and p-value, and their law under a look after every few players."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamestream_dagster.experiments.errors import PlanError
from gamestream_dagster.experiments.estimates import Method
from gamestream_dagster.experiments.plan import Plan
from gamestream_dagster.experiments.readout import Outcome, Status, read_out
from gamestream_dagster.experiments.sentence import sentence
from gamestream_dagster.experiments.sequential import always_valid_p, half_width, tuned
from tests.support.experiment_worlds import of_values, plan, rate, sample

WORLDS = 2_000
NOW = datetime(2026, 12, 1, tzinfo=UTC)


@given(st.floats(0.001, 50), st.integers(200, 10**7), st.integers(200, 10**7), st.floats(0.001, 0.2))
def test_the_p_value_is_that_of_the_interval(z, players, planned, alpha):
    mixture = tuned(planned, alpha)
    p_value = float(always_valid_p(z, 1.0, players, mixture))
    assert 0 <= p_value <= 1
    if 1e-300 < p_value < 1:
        assert float(half_width(1.0, players, mixture, p_value)) == pytest.approx(z, rel=1e-9)


def test_the_ratio_by_hand():
    # weight 1: the ratio of likelihoods is exp(z^2 / 4) / sqrt 2; z = 4 gives p = sqrt 2 / e^4
    assert float(always_valid_p(4.0, 1.0, 100, 0.01)) == pytest.approx(math.sqrt(2) / math.e**4)


def test_it_is_narrowest_at_the_planned_number_and_wider_than_a_fixed_one():
    widths = [float(half_width(1.0, 10_000, tuned(planned, 0.05), 0.05)) for planned in (1_000, 10_000, 100_000)]
    assert widths[1] == min(widths)
    assert widths[1] > 1.96


def test_a_look_at_each_of_many_moments_errs_at_most_as_often_as_it_may():
    """A/A: 2,000 worlds of 4,000 players, looked at after every 50 players from the 200th on."""
    generator = np.random.default_rng(20_261_126)
    looks = np.arange(200, 4_001, 50)
    sums = np.cumsum(generator.binomial(25, 0.3, (2, WORLDS, 160)), axis=2)[:, :, looks // 25 // 2 - 1]
    rates = sums / (looks / 2)
    errors = np.sqrt((rates * (1 - rates)).sum(axis=0) / (looks / 2))
    difference = rates[1] - rates[0]
    mixture = tuned(4_000, 0.05)
    ever = (always_valid_p(difference, errors, looks, mixture) < 0.05).any(axis=1)
    assert ever.mean() <= 0.05
    inside = np.abs(difference) <= half_width(errors, looks, mixture, 0.05)
    assert np.array_equal(~ever, inside.all(axis=1))
    naive = (np.abs(difference) > 1.96 * errors).any(axis=1)
    assert naive.mean() > 0.15  # what peeking does to a fixed-horizon test


def always_valid(**changes: object) -> Plan:
    return plan(stop={"sequential": {"players": 2_000}}, **changes)


def test_a_sequential_readout_waits_for_a_hundred_players_an_arm():
    few = sample({"a": {"kept": rate(10, 99)}, "b": {"kept": rate(60, 101)}})
    found = read_out(always_valid(), few, NOW)
    assert found.status is Status.EARLY
    assert "the plan waits for 100 players in each arm" in sentence(found, always_valid())
    enough = sample({"a": {"kept": rate(10, 100)}, "b": {"kept": rate(60, 100)}})
    assert read_out(always_valid(), enough, NOW).outcomes == {"b": Outcome.BETTER}


def test_a_sequential_interval_holds_more_than_a_fixed_one():
    both = sample({"a": {"kept": rate(300, 1_000)}, "b": {"kept": rate(345, 1_000)}})
    (fixed,) = read_out(plan(), both, NOW).comparisons
    (always,) = read_out(always_valid(), both, NOW).comparisons
    assert always.method is Method.ALWAYS_VALID
    assert always.detectable is None
    assert always.difference == pytest.approx(fixed.difference)
    assert always.low < fixed.low < always.difference < fixed.high < always.high
    assert fixed.significant
    assert not always.significant
    assert (always.low > 0) == (always.p_value < 0.05)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 1), (999, 1_000), (1_000, 1_000), (0, 1_000)])
def test_zero_one_and_all_successes_have_a_width(one, other):
    both = sample({"a": {"kept": rate(one, 1_000)}, "b": {"kept": rate(other, 1_000)}})
    (found,) = read_out(always_valid(), both, NOW).comparisons
    assert found.low < found.difference < found.high
    assert found.significant == (other - one == 1_000)


def test_means_may_be_read_at_any_time_too():
    both = sample({"a": {"kept": of_values([1, 2, 3] * 200)}, "b": {"kept": of_values([2, 3, 4] * 200)}})
    (found,) = read_out(always_valid(metrics={"kept": {"kind": "mean", "role": "primary"}}), both, NOW).comparisons
    assert (found.method, found.significant) == (Method.ALWAYS_VALID, True)
    flat = sample({"a": {"kept": of_values([1] * 200)}, "b": {"kept": of_values([1] * 200)}})
    (found,) = read_out(always_valid(metrics={"kept": {"kind": "mean", "role": "primary"}}), flat, NOW).comparisons
    assert (found.low, found.p_value) == (None, 1.0)


def test_either_a_horizon_or_a_sequential_bound():
    with pytest.raises(PlanError, match="either `horizon` or `sequential`"):
        plan(stop={"sequential": {"players": 2_000}, "horizon": {"players": 5}})
    with pytest.raises(PlanError, match="either `horizon` or `sequential`"):
        plan(stop={})
