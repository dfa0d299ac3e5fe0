"""The arithmetic of running totals, against brute force."""

from __future__ import annotations

from itertools import accumulate, product

from hypothesis import given, settings
from hypothesis import strategies as st

from gamestream_dagster.reconciliation.model.ranges import LabelRange, SumRange

groups = st.lists(st.lists(st.one_of(st.integers(0, 6), st.just(10**12)), max_size=4), max_size=4)


@settings(deadline=None)
@given(groups, st.integers(0, 10), st.integers(0, 40))
def test_exactly_the_combinations_of_prefixes_are_allowed(steps, low, offset):
    high = low + sum(map(sum, steps))
    found = SumRange(low, high, tuple(map(tuple, steps)))
    possible = {low + sum(chosen) for chosen in product(*([0, *accumulate(group)] for group in steps))}
    assert all(found.allows(value) for value in possible)
    assert found.allows(low + offset) == (low + offset in possible)
    assert not found.allows(low - 1)
    assert not found.allows(high + 1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=3), min_size=14, max_size=16), st.integers(0, 400))
def test_many_groups_are_exact_too(steps, value):
    """So many that the set of sums is searched as bits."""
    found = SumRange(0, sum(map(sum, steps)), tuple(map(tuple, steps)))
    assert found.exact
    sums = {0}
    for group in steps:
        sums = {base + total for base in sums for total in [0, *accumulate(group)]}
    assert found.allows(value) == (value in sums)


def test_too_many_steps_leave_the_bounds():
    found = SumRange(5, 50, None)
    assert not found.exact
    assert found.allows(5)
    assert found.allows(31)
    assert not found.allows(51)


def test_an_entity_that_appears_between_the_cuts_has_no_sum_of_nothing():
    found = SumRange(0, 7, ((7,),), exists_at_low=False)
    assert found.allows(7)
    assert not found.allows(0)


def test_a_label_only_grows():
    found = LabelRange("Lions", frozenset({"Tigers", "Ants"}))
    assert found.allows("Lions")
    assert found.allows("Tigers")
    assert not found.allows("Ants")
    assert not found.allows("Zebras")
    assert not found.allows(None)
    assert LabelRange(None, frozenset({"Ants"})).allows("Ants")
