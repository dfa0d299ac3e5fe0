"""The load of requests for ranks: all are asked at their time, a slow contestant is stopped, a failure ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.ranks import THREADS, Ask, RanksOptions, name_of, paced, totals_of
from bench.results import BenchError

OPTIONS = RanksOptions(rounds=1, players=50, rate=200, seconds=0.5)


def test_every_request_is_made_and_half_of_them_are_for_the_rows_around() -> None:
    asked: list[bool] = []

    @contextmanager
    def make() -> Iterator[Ask]:
        yield lambda _, around: asked.append(around)

    found = paced(OPTIONS, make)
    assert (found.asked, found.waits.count) == (100, 100)
    assert len(asked) - THREADS == 100, "one more of each connection, before the time runs"
    assert sum(asked) == 50


def test_a_contestant_that_is_too_slow_is_stopped() -> None:
    @contextmanager
    def make() -> Iterator[Ask]:
        yield lambda _, __: time.sleep(0.3)

    found = paced(OPTIONS, make)
    assert found.waits.count < found.asked
    assert found.waits.p99 > 500, "it waits from when it was due"


def test_a_wrong_answer_ends_the_measure() -> None:
    @contextmanager
    def make() -> Iterator[Ask]:
        def ask(_: str, __: bool) -> None:
            raise BenchError("not a rank")

        yield ask

    with pytest.raises(BenchError, match="not a rank"):
        paced(OPTIONS, make)


def test_the_totals_are_those_of_the_seed() -> None:
    assert totals_of(OPTIONS, 0, 3) == {name_of(0): 1, name_of(1): 7920, name_of(2): 15839}
    assert list(totals_of(OPTIONS, 48, 50)) == ["player-0000048", "player-0000049"]
