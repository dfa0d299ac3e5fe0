"""Burn rates over pauses: an open alert is over when enough readings say so, and not for want of readings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import pytest

from gamestream_dagster.alerts.look import GONE_SECONDS, Evaluated, Key, look
from gamestream_dagster.alerts.machine import AlertState, Standing
from gamestream_dagster.alerts.rules import BURN_RATES, Book, load_book
from gamestream_dagster.alerts.samples import Labels, Recorded, Sample, labels_of
from gamestream_dagster.alerts.states import _alert
from gamestream_dagster.alerts.store import Change

MINUTE = 60.0
SERIES = {"availability": ("http_server_up", "server"), "freshness": ("flink_job_is_fresh", "flink_job"),
          "correctness": ("board_is_correct", "board")}  # fmt: skip
CRITICAL = [f"{objective}_burns_14_4x" for objective in SERIES]


@cache
def only(rule: str) -> Book:
    found = load_book()
    return found.model_copy(update={"rules": (found.rule(rule),)})


@dataclass
class Watcher:
    """Rounds of one rule on made-up readings; a minute may have a round or none."""

    rule: str
    now: float = 0.0
    history: list[Sample] = field(default_factory=list)
    states: dict[Key, Standing] = field(default_factory=dict)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    last: list[Evaluated] = field(default_factory=list)

    def labels(self, name: str) -> Labels:
        return labels_of({SERIES[self.rule.partition("_")[0]][1]: name})

    def rounds(self, minutes: int, failed: bool = False, every: float = 1, **values: float) -> None:
        """A round each `every` minutes, with these readings; `failed`: the source does not answer."""
        series = SERIES[self.rule.partition("_")[0]][0]
        book = only(self.rule)
        for _ in range(minutes):
            self.now += every * MINUTE
            current = [Sample(series, self.labels(name), self.now, value) for name, value in values.items()]
            silent = {book.series[series].source: "no answer"} if failed else {}
            self.last = look(book, Recorded(self.now, current, self.history), silent, self.states, self.now)
            self.history += [one for one in current if not math.isnan(one.value)]
            self.states = {one.key: one.standing for one in self.last if not one.has_ended}
            self.changes += [(dict(one.labels).popitem()[1], one.change) for one in self.last if one.change]

    def pause(self, minutes: float) -> None:
        """The evaluator does not run."""
        self.now += minutes * MINUTE

    def state(self, name: str = "a") -> AlertState | None:
        found: Iterable[Evaluated] = (one for one in self.last if one.labels == self.labels(name))
        return next((one.standing.state for one in found), None)

    def of(self, name: str = "a") -> list[Change]:
        return [change for whose, change in self.changes if whose == name]


def burning(rule: str) -> Watcher:
    """An open alert about `a`, beside `b`, which is fine."""
    watcher = Watcher(rule)
    watcher.rounds(30, a=1, b=1)
    watcher.rounds(20, a=0, b=1)
    assert (watcher.state(), watcher.of()) == (AlertState.FIRING, [Change.RAISED])
    return watcher


@pytest.mark.parametrize("rule", CRITICAL)
@pytest.mark.parametrize("pause", [56.0, 59.0, 61.0, 240.0, 5 * 1440.0])
def test_an_open_alert_outlives_a_pause_of_the_evaluator_and_ends_by_readings(rule: str, pause: float) -> None:
    watcher = burning(rule)
    watcher.pause(pause)
    watcher.rounds(1, a=1, b=1)
    assert (watcher.state(), watcher.of()) == (AlertState.NO_DATA, [Change.RAISED, Change.BLIND])
    (blind,) = (one for one in watcher.last if one.change is Change.BLIND)
    assert "readings, and >= " in _alert(blind).summary
    assert "nobody knows whether it is over" in _alert(blind).summary
    watcher.rounds(60, a=1, b=1)
    assert watcher.of() == [Change.RAISED, Change.BLIND, Change.CLEARED]
    assert watcher.of("b") == []


@pytest.mark.parametrize("rule", CRITICAL)
def test_after_a_short_pause_one_good_reading_is_not_enough(rule: str) -> None:
    watcher = burning(rule)
    watcher.pause(10)
    watcher.rounds(1, a=1, b=1)
    assert watcher.state() is AlertState.NO_DATA
    watcher.rounds(1, a=1, b=1)
    assert watcher.of() == [Change.RAISED, Change.BLIND, Change.CLEARED]


@pytest.mark.parametrize("rule", CRITICAL)
@pytest.mark.parametrize("pause", [10.0, 240.0])
def test_an_alert_whose_readings_are_still_bad_fires_on_and_is_not_raised_again(rule: str, pause: float) -> None:
    watcher = burning(rule)
    watcher.pause(pause)
    watcher.rounds(20, a=0, b=1)
    assert (watcher.state(), watcher.of()) == (AlertState.FIRING, [Change.RAISED, Change.BLIND])


@pytest.mark.parametrize("rule", CRITICAL)
@pytest.mark.parametrize("minutes", [3, 20, 180, 900])
def test_a_source_that_does_not_answer_ends_nothing_and_opens_nothing(rule: str, minutes: int) -> None:
    watcher = burning(rule)
    watcher.rounds(min(minutes, 45), failed=True, every=max(1.0, minutes / 45))
    assert Change.CLEARED not in watcher.of()
    watcher.rounds(61, a=1, b=1)
    assert watcher.of()[-1] is Change.CLEARED
    assert watcher.of().count(Change.CLEARED) == 1
    assert watcher.of("b") == []


@pytest.mark.parametrize("rule", CRITICAL)
def test_no_alert_opens_after_a_pause_before_there_are_enough_readings(rule: str) -> None:
    watcher = Watcher(rule)
    watcher.rounds(40, a=1)
    watcher.pause(300)
    watcher.rounds(9, a=0)
    assert (watcher.state(), watcher.of()) == (AlertState.NO_DATA, [])
    watcher.rounds(1, a=0)
    assert watcher.of() == [Change.RAISED]


@pytest.mark.parametrize("rule", CRITICAL)
@pytest.mark.parametrize("minutes", [4, 6, 90])
def test_one_label_set_without_readings_stays_open_while_others_go_on(rule: str, minutes: int) -> None:
    """A proof that could not run, a job whose lag nobody knows: it exists, and has no reading."""
    watcher = burning(rule)
    watcher.rounds(minutes, a=math.nan, b=1)
    assert (watcher.state(), watcher.state("b")) == (AlertState.NO_DATA, AlertState.OK)
    assert watcher.of() == [Change.RAISED, Change.BLIND]
    watcher.rounds(61, a=1, b=1)
    assert watcher.of() == [Change.RAISED, Change.BLIND, Change.CLEARED]


@pytest.mark.parametrize("factor", [one[0] for one in BURN_RATES])
def test_one_that_is_gone_for_good_ends_with_the_short_window(factor: float) -> None:
    rule = f"freshness_burns_{factor:g}x".replace(".", "_")
    short = {14.4: 5, 6.0: 30, 1.0: 360}[factor]
    watcher = Watcher(rule)
    watcher.rounds(240, a=1, b=1)
    watcher.rounds(120, a=0, b=1)
    assert watcher.state() is AlertState.FIRING
    watcher.rounds(short - 1, b=1)
    assert Change.CLEARED not in watcher.of()
    watcher.rounds(1, b=1)
    assert watcher.of()[-1] is Change.CLEARED


def test_the_only_one_that_is_gone_for_good_ends_after_a_day_and_not_by_a_pause() -> None:
    watcher = Watcher("freshness_burns_14_4x")
    watcher.rounds(30, a=1)
    watcher.rounds(20, a=0)
    watcher.rounds(90)
    assert (watcher.state(), watcher.of()) == (AlertState.NO_DATA, [Change.RAISED, Change.BLIND])
    watcher.pause(GONE_SECONDS / MINUTE)  # the evaluator did not look: nobody knows
    watcher.rounds(1)
    assert watcher.of() == [Change.RAISED, Change.BLIND]
    watcher.rounds(1)
    assert watcher.of() == [Change.RAISED, Change.BLIND, Change.CLEARED]
    assert (watcher.last[0].has_ended, watcher.last[0].message.startswith("The freshness of a ")) == (True, True)
    watcher.rounds(1)
    assert watcher.states[(watcher.rule, ())].state is AlertState.NO_DATA
