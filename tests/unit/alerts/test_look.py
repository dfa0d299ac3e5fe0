"""One evaluation of all rules: label sets that come and go, and sources that do not answer."""

from __future__ import annotations

from collections.abc import Mapping

from gamestream_dagster.alerts.look import MOST_INSTANCES, Evaluated, Key, look
from gamestream_dagster.alerts.machine import AlertState, Standing
from gamestream_dagster.alerts.rules import Book, load_book
from gamestream_dagster.alerts.samples import Recorded, Sample, labels_of
from gamestream_dagster.alerts.states import _alert
from gamestream_dagster.alerts.store import Change

SILENT = {"kafka": "no answer"}


def book() -> Book:
    found = load_book()
    return found.model_copy(update={"rules": (found.rule("data_freshness"),)})


def evaluated(
    hours: Mapping[str, float], before: Mapping[Key, Standing], now: float, failed: Mapping[str, str] | None = None
) -> list[Evaluated]:
    samples = [Sample("hours_since_last_event", labels_of({"topic": name}), now, one) for name, one in hours.items()]
    return look(book(), Recorded(now, samples), failed or {}, before, now)


def states(found: list[Evaluated]) -> dict[Key, Standing]:
    return {one.key: one.standing for one in found if not one.has_ended}


def test_a_label_set_that_is_gone_is_over_and_then_forgotten() -> None:
    first = evaluated({"a": 2, "b": 0}, {}, 0)
    second = evaluated({"b": 0}, states(first), 60)
    assert {(one.alert_id, one.change) for one in second} == {
        ('data_freshness{topic="a"}', Change.CLEARED),
        ('data_freshness{topic="b"}', None),
    }
    assert set(states(second)) == {("data_freshness", (("topic", "b"),))}


def test_a_source_that_does_not_answer_ends_no_label_set() -> None:
    first = evaluated({"a": 2}, {}, 0)
    (blind,) = evaluated({}, states(first), 60, SILENT)
    assert (blind.standing.state, blind.change, blind.why) == (AlertState.NO_DATA, Change.BLIND, "kafka: no answer")
    told = _alert(blind)
    assert told.summary.endswith("nobody knows whether it is over (kafka: no answer)")
    assert told.details["no_data"] == "kafka: no answer"
    (back,) = evaluated({"a": 2}, states([blind]), 120)
    assert (back.standing.state, back.change) == (AlertState.FIRING, None)


def test_the_state_without_labels_ends_when_there_are_label_sets() -> None:
    first = evaluated({}, {}, 0)
    assert [(one.labels, one.why) for one in first] == [((), "no sample of hours_since_last_event")]
    assert set(states(evaluated({"a": 0}, states(first), 60))) == {("data_freshness", (("topic", "a"),))}


def test_an_open_alert_keeps_its_place_among_too_many_label_sets() -> None:
    first = evaluated({"z": 2}, {}, 0)
    many = {f"t{number:04}": 0.0 for number in range(MOST_INSTANCES + 50)}
    second = evaluated({**many, "z": 2}, states(first), 60)
    assert len(second) == MOST_INSTANCES
    assert [one.change for one in second if one.labels == (("topic", "z"),)] == [None]
