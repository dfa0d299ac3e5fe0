"""Figures and tables: what they are computed from is small enough to count by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Quantiles, number, percentile, ratio, spread, table

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


def test_spread_is_least_median_greatest() -> None:
    assert spread([5, 1, 9, 3]).as_dict() == {"min": 1, "median": 4, "max": 9, "rounds": 4}
    with pytest.raises(ValueError, match="no round"):
        spread([])


def test_percentiles_are_values_that_were_measured() -> None:
    hundred = list(range(1, 101))
    assert [percentile(hundred, share) for share in (0, 0.5, 0.95, 0.99, 1)] == [1, 50, 95, 99, 100]
    assert percentile([7], 0.99) == 7
    assert Quantiles.of([1, 2, 1000]).as_dict() == {"p50": 2, "p95": 1000, "p99": 1000, "longest": 1000, "count": 3}
    with pytest.raises(ValueError, match="percentile"):
        percentile([1], 1.1)


@given(VALUES, st.floats(0, 1))
def test_as_many_values_as_promised_do_not_exceed_a_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (0.0, "0"), (12, "12"), (1234567, "1,234,567"), (1234.5, "1,234"), (0.01234, "0.0123"),
     (12.345, "12.3"), (99.99, "100.0"), ("a | b", "a | b"), (True, "True")],
)  # fmt: skip
def test_numbers_have_three_digits_that_count(value: object, shown: str) -> None:
    assert number(value) == shown


def test_a_table_puts_figures_to_the_right_and_keeps_bars_out() -> None:
    text = table(["what", "ms"], [["a|b", 1.0], ["c", None]])
    assert text.splitlines() == ["| what | ms |", "| --- | ---: |", "| a\\|b | 1.00 |", "| c | – |"]
    with pytest.raises(ValueError, match="3 cells under 1"):
        table(["one"], [[1, 2, 3]])


def test_nothing_to_divide_by_is_no_ratio() -> None:
    assert ratio(6, 3) == 2
    assert ratio(6, 0) is None
