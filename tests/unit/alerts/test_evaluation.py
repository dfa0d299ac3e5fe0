"""Conditions: PromQL's meaning where both agree, and "no data" where Prometheus drops an element."""

from __future__ import annotations

import math

import pytest

from gamestream_dagster.alerts.errors import ExpressionError
from gamestream_dagster.alerts.evaluation import evaluate
from gamestream_dagster.alerts.expression import parse
from gamestream_dagster.alerts.samples import Recorded, Sample, labels_of

NOW = 1_000_000.0
NAN = math.nan


def sample(series: str, value: float, at: float = NOW, **labels: str) -> Sample:
    return Sample(series, labels_of(labels), at, value)


def holds(condition: str, *current: Sample, history: tuple[Sample, ...] = ()) -> dict[str, bool | None]:
    """By the values of the labels, joined."""
    found = evaluate(parse(condition), Recorded(NOW, current, history), NOW)
    return {"/".join(value for _, value in one.labels): one.holds for one in found.elements}


A, B = sample("x", 5, k="a"), sample("x", 15, k="b")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x > 10", {"a": False, "b": True}),
        ("x >= 5", {"a": True, "b": True}),
        ("10 < x", {"a": False, "b": True}),
        ("x != 5", {"a": False, "b": True}),
        ('x{k="a"} > 1', {"a": True}),
        ('x{k!="a"} > 1', {"b": True}),
        ('x{k=~"a|c"} > 1', {"a": True}),
        ('x{k!~"a.*"} > 1', {"b": True}),
        ("-x < -10", {"a": False, "b": True}),
        ("sum(x) > 19", {"": True}),
        ("count(x > 10) == 1", {"": True}),
        ("count(x > 100) == 0", {"": False}),  # as in PromQL: an empty count is nothing, not 0
        ("max by (k) (x) > 10", {"a": False, "b": True}),
        ("avg without (k) (x) == 10", {"": True}),
        ("x > 1 and x > 10", {"a": False, "b": True}),
        ("x > 10 or x < 6", {"a": True, "b": True}),
        ("x unless x > 10", {"a": True, "b": False}),
        ("(x > bool 10) == 0", {"a": True, "b": False}),
        ("x / x == 1", {"a": True, "b": True}),
        ("x / (x - x) > 1000", {"a": True, "b": True}),  # infinite
        ("(x - x) / (x - x) > 0", {"a": None, "b": None}),  # 0/0
        ("abs(-x) > 10", {"a": False, "b": True}),
        ("clamp_max(x, 7) > 6", {"a": False, "b": True}),
        ("absent(y) == 1", {"": True}),
        ('absent(x{k="a"}) == 1', {"a": False}),
    ],
)
def test_a_condition_holds_as_in_promql(condition: str, expected: dict[str, bool | None]) -> None:
    assert holds(condition, A, B) == expected


def test_nan_is_no_data_and_a_false_side_decides_anyway() -> None:
    nothing = sample("x", NAN, k="a")
    assert holds("x > 1", nothing) == {"a": None}
    assert holds("x > 1 and x > 1", nothing) == {"a": None}
    assert holds("x > 1 and y > 1", nothing, sample("y", 0, k="a")) == {"a": False}
    assert holds("x > 1 and y > 1", nothing, sample("y", 2, k="a")) == {"a": None}
    assert holds("x > 1 or y > 1", nothing, sample("y", 2, k="a")) == {"a": True}


def test_a_side_without_any_sample_is_no_data_and_one_without_the_labels_is_false() -> None:
    assert holds("x > 1 and y > 1", A) == {"a": None}
    assert holds("x > 1 and y > 1", A, sample("y", 2, k="other")) == {"a": False}
    assert holds("x > 1") == {}
    assert evaluate(parse("x > 1"), Recorded(NOW, ()), NOW).missing == ("x",)


def test_what_could_not_be_collected_is_not_absent() -> None:
    found = evaluate(parse("absent(y) == 1"), Recorded(NOW, ()), NOW, frozenset({"y"}))
    assert [one.holds for one in found.elements] == [None]


def test_windows_offsets_and_the_same_weekday() -> None:
    week = 7 * 86_400
    history = tuple(sample("x", value, NOW - 60 * back) for back, value in ((1, 2.0), (2, 3.0), (9, 100.0)))
    history += (sample("x", 10, NOW - week - 30),)
    now = sample("x", 1)
    for condition, expected in {
        "avg_over_time(x[5m]) == 2": True,
        "count_over_time(x[5m]) == 3": True,
        "max_over_time(x[5m]) == 3": True,
        "max_over_time(x[10m]) == 100": True,
        "last_over_time(x[5m]) == 1": True,
        "x < 0.7 * x offset 1w": True,
        "x > 0.7 * x offset 1w": False,
    }.items():
        assert holds(condition, now, history=history) == {"": expected}, condition
    assert holds("x < 0.7 * x offset 2w", now, history=history) == {}  # nothing to compare with
    assert parse("x < x offset 1w and avg_over_time(y[1h] offset 1d) > 1").back == (("x", 604_800), ("y", 90_000))


def test_an_instant_is_what_was_collected_now_and_no_older_value() -> None:
    assert holds("x > 1", history=(sample("x", 5, NOW - 60),)) == {}


def test_evidence_comes_from_the_samples_behind_an_element() -> None:
    shown = Sample("x", labels_of({"k": "a"}), NOW, 5.0, {"offset": "p0@17"})
    (found,) = evaluate(parse("x > 1 and on (k) y > 1"), Recorded(NOW, [shown, sample("y", 2, k="a")]), NOW).elements
    assert found.evidence == {'x{k="a"}': {"value": 5.0, "offset": "p0@17"}, 'y{k="a"}': {"value": 2}}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("x >", "no PromQL"),
        ("1 > bool 0", "a number, not a condition"),
        ("rate(x[5m]) > 1", "the function rate is not supported; use"),
        ("x[5m]", "stands alone"),
        ("max_over_time(x[1h:5m]) > 1", "give it a series with a range"),
        ("topk(3, x) > 1", "the aggregation topk is not supported"),
        ("x / on (k) group_left y > 1", "group_left and group_right"),
        ('{k="a"} > 1', "without a name"),
        ("x @ 5 > 1", "use offset"),
        ("x offset -1h > 1", "into the future"),
        ("x ^ 2 > 1", "the operator ^"),
        ("(" * 60 + "x" + ")" * 60 + " > 1", "nested too deeply"),
        ("x > " + "1" * 3000, "write at most 2,000"),
    ],
)
def test_what_is_outside_the_subset_is_refused_with_what_to_write(condition: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said.replace("(", r"\(").replace("^", r"\^")):
        parse(condition)


def reading(value: float, minutes: int, **labels: str) -> Sample:
    return sample("x", value, NOW - 60 * minutes, **labels)


ENOUGH = "count_over_time(x[10m]) >= 3"


@pytest.mark.parametrize(
    "condition",
    [
        f"avg_over_time(x[10m]) > 1 and {ENOUGH}",
        f"{ENOUGH} and avg_over_time(x[10m]) > 1",
        "avg_over_time(x[10m]) > 1 and (2 < count_over_time(x[10m]))",
        f"x > 1 and ({ENOUGH} and x > 100)",
        f"(x > 1 and {ENOUGH}) and x > 100",
        f"x > 100 and (x > 1 and {ENOUGH})",
        f"x > 1 and on (k) {ENOUGH}",
        f"min by (k) (x) > 1 and {ENOUGH}",
    ],
)
@pytest.mark.parametrize("value", [0.0, 2.0, 1000.0])
def test_too_few_readings_are_no_data_whatever_those_say(condition: str, value: float) -> None:
    few = sample("x", value, k="a")
    assert holds(condition, few, history=(reading(value, 1, k="a"),)) == {"a": None}
    enough = holds(condition, few, history=tuple(reading(value, back, k="a") for back in (1, 2)))
    assert enough["a"] is not None
    (one,) = evaluate(parse(condition), Recorded(NOW, [few]), NOW).elements
    assert one.lacks.startswith("1 readings, and >")


def test_a_count_is_a_comparison_like_any_other_where_it_asks_for_nothing() -> None:
    few = sample("x", 5, k="a")
    assert holds(ENOUGH, few) == {"a": False}
    assert holds("x > 1 and count_over_time(x[10m]) < 3", few) == {"a": True}
    assert holds("x > 1 and count_over_time(x[10m]) == 3", few) == {"a": False}
    assert holds(f"{ENOUGH} or x > 1", few) == {"a": True}


def test_a_series_that_counts_readings_asks_for_enough_as_well() -> None:
    condition, samples = "x > 1 and n >= 20", (sample("x", 5, k="a"), sample("n", 19, k="a"))
    assert holds(condition, *samples) == {"a": False}
    (one,) = evaluate(parse(condition), Recorded(NOW, samples), NOW, counts=frozenset({"n"})).elements
    assert (one.holds, one.lacks) == (None, "19 readings, and >= 20 are asked for")


def test_a_label_set_without_a_reading_is_no_data_beside_others_that_have_some() -> None:
    silent, fine = sample("x", NAN, k="a"), sample("x", 5, k="b")
    history = tuple(reading(5, back, k=name) for back in (7, 8, 9) for name in "ab")
    history += tuple(reading(5, back, k="b") for back in (1, 2))
    burns = "avg_over_time(x[10m]) > 1 and avg_over_time(x[5m]) > 1 and count_over_time(x[5m]) >= 2"
    assert holds(burns, silent, fine, history=history) == {"a": None, "b": True}
    # one that no longer exists ends with the short window
    assert holds(burns, fine, history=history) == {"a": False, "b": True}
    # and a reading is one: NaN enters no average
    assert holds("avg_over_time(x[10m]) == 5", silent, history=history[:6:2]) == {"a": True}
