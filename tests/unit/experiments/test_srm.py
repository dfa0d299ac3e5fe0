"""Sample ratio mismatch: what is blocked, what is warned of, and how often chance alone is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gamestream_dagster.experiments.srm import SrmStatus, check_split

HALVES = {"a": 0.5, "b": 0.5}


def test_by_hand():
    # 60 and 40 where 50 and 50 were planned: (100 + 100) / 50 = 4, one degree of freedom
    found = check_split({"a": 60, "b": 40}, HALVES)
    assert found.chi_square == pytest.approx(4)
    assert found.p_value == pytest.approx(stats.chi2(1).sf(4))
    assert found.deviation == pytest.approx(0.1)
    assert found.status is SrmStatus.OK


@pytest.mark.parametrize(
    ("players", "shares"),
    [
        ({"a": 8_000, "b": 2_000}, {"a": 0.67, "b": 0.33}),
        ({"a": 6_700, "b": 3_300}, {"a": 0.8, "b": 0.2}),
        ({"a": 20_000, "b": 33_000}, HALVES),
        ({"a": 10_000, "b": 10_000, "c": 8_500}, dict.fromkeys("abc", 1 / 3)),
        ({"a": 5_000, "b": 0}, HALVES),
    ],
)
def test_a_planted_split_is_blocked(players, shares):
    assert check_split(players, shares).status is SrmStatus.BLOCK


def test_the_published_split_of_cookie_cats_is_warned_of():
    found = check_split({"gate_30": 44_700, "gate_40": 45_489}, {"gate_30": 0.5, "gate_40": 0.5})
    assert found.status is SrmStatus.WARN
    assert found.p_value == pytest.approx(0.0086, abs=5e-5)


def test_a_deviation_below_a_thousandth_never_blocks():
    found = check_split({"a": 500_900_000, "b": 499_100_000}, HALVES)
    assert found.p_value < 1e-100
    assert found.deviation == pytest.approx(0.0009)
    assert found.status is SrmStatus.WARN
    assert check_split({"a": 501_000_000, "b": 499_000_000}, HALVES).status is SrmStatus.BLOCK


def test_three_right_arms_are_ok():
    assert check_split({"a": 502, "b": 249, "c": 249}, {"a": 0.5, "b": 0.25, "c": 0.25}).status is SrmStatus.OK


def test_chance_alone_warns_in_one_of_a_hundred_and_blocks_in_one_of_a_thousand():
    generator = np.random.default_rng(20_261_126)
    found = [
        check_split({"a": int(count), "b": 10_000 - int(count)}, HALVES).status
        for count in generator.binomial(10_000, 0.5, 2_000)
    ]
    assert found.count(SrmStatus.BLOCK) <= 6
    assert 8 <= sum(status is not SrmStatus.OK for status in found) <= 35
