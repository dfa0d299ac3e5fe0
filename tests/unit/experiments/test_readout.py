"""Readouts: what is shown when, corrections, outcomes and the sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gamestream_dagster.experiments.errors import PlayersError
from gamestream_dagster.experiments.estimates import holm
from gamestream_dagster.experiments.readout import Outcome, Readout, Status, read_out
from gamestream_dagster.experiments.sample import Moments, Sample
from gamestream_dagster.experiments.sentence import sentence
from gamestream_dagster.experiments.srm import SrmStatus
from tests.support.experiment_worlds import of_values, plan, rate, sample

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SPLIT = sample({"a": {"kept": rate(300, 1_000)}, "b": {"kept": rate(400, 1_000)}})


def read(of: Sample = SPLIT, **changes: object) -> tuple[Readout, str]:
    made = plan(**changes)
    found = read_out(made, of, NOW)
    return found, sentence(found, made)


def test_a_clear_difference():
    found, told = read()
    (one,) = found.comparisons
    assert found.status is Status.READ
    assert found.outcomes == {"b": Outcome.BETTER}
    assert (one.difference, one.relative) == (pytest.approx(0.1), pytest.approx(1 / 3))
    assert told == ("b is better than a: kept +10.00 points (95 % interval +5.82 to +14.13, Holm p = 2.8e-06).")


def test_the_wanted_direction_is_that_of_the_plan():
    lower = {"metrics": {"kept": {"kind": "proportion", "role": "primary", "better": "lower"}}}
    found, told = read(**lower)
    assert found.outcomes == {"b": Outcome.WORSE}
    assert told.startswith("b is worse than a: kept +10.00 points")


def test_no_difference_names_the_least_p():
    same = sample({"a": {"kept": rate(300, 1_000)}, "b": {"kept": rate(301, 1_000)}})
    found, told = read(same)
    assert found.outcomes == {"b": Outcome.NOT_SHOWN}
    assert told == (
        "b is not shown to differ from a: the least p is kept +0.10 points "
        "(95 % interval -3.91 to +4.11, Holm p = 0.96)."
    )


@pytest.mark.parametrize("horizon", [{"players": 2_001}, {"date": NOW + timedelta(seconds=1)}])
def test_before_the_horizon_only_the_quality_of_the_data_is_shown(horizon):
    found, told = read(stop={"horizon": horizon})
    assert found.status is Status.EARLY
    assert found.comparisons == []
    assert found.outcomes == {}
    assert [arm.metrics for arm in found.arms] == [{}, {}]
    assert found.split.status is SrmStatus.OK
    assert told.startswith("Too early: the plan waits")
    for hidden in ("0.3", "0.4", "300", "400"):
        assert hidden not in found.model_dump_json(exclude={"as_of"})


@pytest.mark.parametrize("horizon", [{"players": 2_000}, {"date": NOW}])
def test_at_the_horizon_the_result_is_shown(horizon):
    found, _ = read(stop={"horizon": horizon})
    assert found.status is Status.READ


def test_a_broken_split_blocks_every_difference():
    broken = sample({"a": {"kept": rate(300, 1_000)}, "b": {"kept": rate(400, 1_600)}}, crossovers=0)
    found, told = read(broken)
    assert found.status is Status.BLOCKED
    assert found.split.status is SrmStatus.BLOCK
    assert found.comparisons == []
    assert found.outcomes == {}
    assert told.startswith("Blocked: sample ratio mismatch, a 38.46% (planned 50.00%), b 61.54% (planned 50.00%), p")


def test_a_broken_split_before_the_horizon_hides_the_rates_too():
    broken = sample({"a": {"kept": rate(300, 1_000)}, "b": {"kept": rate(400, 1_600)}})
    found, _ = read(broken, stop={"horizon": {"players": 10_000}})
    assert found.status is Status.BLOCKED
    assert [arm.metrics for arm in found.arms] == [{}, {}]


METRICS = {
    "kept": {"kind": "proportion", "role": "primary"},
    "rounds": {"kind": "mean", "role": "secondary"},
    "crashes": {"kind": "proportion", "role": "guardrail", "better": "lower"},
}


def three(kept: int, rounds: list[float], crashes: int) -> dict[str, Moments]:
    return {"kept": rate(kept, 1_000), "rounds": of_values(rounds * 250), "crashes": rate(crashes, 1_000)}


def test_holm_is_over_variants_and_metrics_without_guardrails():
    arms = {
        "a": three(300, [1, 2, 3, 4], 10),
        "b": three(345, [1, 2, 3, 4], 10),
        "c": three(360, [2, 3, 4, 4], 40),
    }
    found, told = read(sample(arms), metrics=METRICS, variants={"a": 1, "b": 1, "c": 1})
    tested = [one for one in found.comparisons if one.metric != "crashes"]
    assert len(tested) == 4
    assert [one.holm_p_value for one in tested] == pytest.approx(holm([one.p_value for one in tested]))
    assert all(one.holm_p_value is None for one in found.comparisons if one.metric == "crashes")
    by_place = {(one.metric, one.variant): one for one in found.comparisons}
    assert by_place["kept", "b"].p_value < 0.05 < by_place["kept", "b"].p_value * 4
    assert found.outcomes == {"b": Outcome.NOT_SHOWN, "c": Outcome.MIXED}
    assert "c is better in one metric and worse in another than a: kept" in told
    assert "crashes +3.00 points" in told


def test_a_harmed_guardrail_alone_is_worse():
    arms = {"a": three(300, [1, 2], 10), "b": three(301, [1, 2], 60)}
    found, told = read(sample(arms), metrics=METRICS)
    assert found.outcomes == {"b": Outcome.WORSE}
    assert told.startswith("b is worse than a: crashes +5.00 points")


def test_a_secondary_metric_decides_nothing():
    arms = {"a": three(300, [1, 2, 3, 4], 10), "b": three(300, [5, 6, 7, 8], 10)}
    found, told = read(sample(arms), metrics=METRICS)
    (rounds,) = (one for one in found.comparisons if one.metric == "rounds")
    assert rounds.significant
    assert rounds.improves
    assert found.outcomes == {"b": Outcome.NOT_SHOWN}
    assert told.startswith("b is not shown to differ from a: the least p is kept +0.00 points")


def test_without_a_plan_it_is_exploratory():
    found, told = read(stop=None)
    assert not found.planned
    assert told.endswith("(no plan was given: exploratory).")


def test_notes_name_a_warned_split_crossovers_and_skew():
    players = {"a": rate(300, 1_000), "b": rate(400, 1_120)}
    odd = sample({name: {"kept": one} for name, one in players.items()}, crossovers=30)
    found, _ = read(odd)
    assert found.split.status is SrmStatus.WARN
    assert [note.split(" ")[0] for note in found.notes] == ["The", "30"]
    skewed = {name: {"kept": Moments(1_000, 5_000.0, 9.0, 12.0)} for name in "ab"}
    found, _ = read(sample(skewed), metrics={"kept": {"kind": "mean", "role": "primary"}})
    assert found.notes == [
        "kept is skewed in a, b: a few players carry its mean, whose interval needs about 51,120 players an arm."
    ]


def test_the_detectable_difference_is_shown_with_the_power_of_the_plan():
    found, _ = read()
    (one,) = found.comparisons
    # 2 (1.96 + 0.8416)^2 p (1 - p) / n, with the variance of both rates: about 5.9 points of 30 %
    assert one.detectable == pytest.approx(0.0585, abs=0.001)
    means = {name: {"kept": of_values([1, 2, 3, 4] * 250)} for name in "ab"}
    found, _ = read(sample(means), metrics={"kept": {"kind": "mean", "role": "primary"}})
    deviation = means["a"]["kept"].variance ** 0.5
    assert found.comparisons[0].detectable == pytest.approx(2.8016 * deviation * (2 / 1_000) ** 0.5, rel=0.002)


def test_nothing_varies_and_nothing_is_detectable():
    same = sample({"a": {"kept": rate(0, 500)}, "b": {"kept": rate(0, 500)}})
    (one,) = read(same)[0].comparisons
    assert (one.p_value, one.detectable, one.relative, one.improves) == (1.0, None, None, None)
    assert one.note is not None


def test_nobody_is_an_error():
    with pytest.raises(PlayersError, match="No player of gate is in one arm alone"):
        read(sample({"a": {"kept": rate(0, 0)}, "b": {"kept": rate(0, 0)}}, crossovers=4))


def test_an_empty_arm_is_blocked():
    found, _ = read(sample({"a": {"kept": rate(30, 100)}, "b": {"kept": rate(0, 0)}}))
    assert found.status is Status.BLOCKED
