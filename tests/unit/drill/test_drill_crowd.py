"""The crowd sends what its seed says, however often it is paused."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gamestream_dagster.drill import crowd as module
from gamestream_dagster.drill.crowd import PausableCrowd
from gamestream_dagster.events.producer import SendingError
from gamestream_dagster.events.simulator import SimulatorOptions, simulate
from gamestream_dagster.settings import load_settings

OPTIONS = SimulatorOptions(seed=3, start_ms=1_700_000_000_000, rate=2000, dup=2, bad=2)


class Deliveries:
    delivered = 0


class Producer:
    """Keeps what it is given, and tells when there is enough of it."""

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, bytes | None]] = []
        self.deliveries = Deliveries()
        self.enough = threading.Event()
        self.wanted = 50
        self.fails = False

    def __call__(self, *_: object, **__: object) -> Producer:
        return self

    def send(self, key: bytes, value: bytes | None) -> None:
        if self.fails:
            self.enough.set()
            raise SendingError("no broker")
        self.kept.append((key, value))
        self.deliveries.delivered = len(self.kept)
        if len(self.kept) >= self.wanted:
            self.enough.set()

    def poll(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def flush(self) -> None: ...

    def more(self, count: int) -> None:
        self.wanted = len(self.kept) + count
        self.enough.clear()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    made = Producer()
    monkeypatch.setattr(module, "ScoreProducer", made)
    return made


def test_pauses_change_nothing_but_when(producer: Producer, tmp_path: Path) -> None:
    crowd = PausableCrowd(load_settings(home=tmp_path), OPTIONS)
    try:
        assert crowd.pause() == 0  # before it ever played
        for _ in range(3):
            producer.more(50)
            crowd.resume()
            assert producer.enough.wait(10)
            sent = crowd.pause()
            assert sent == len(producer.kept)
    finally:
        crowd.close()
    expected = simulate(OPTIONS)
    assert producer.kept == [(one.key, one.value) for one, _ in zip(expected, producer.kept, strict=False)]


def test_a_crowd_that_cannot_send_says_so(producer: Producer, tmp_path: Path) -> None:
    producer.fails = True
    crowd = PausableCrowd(load_settings(home=tmp_path), OPTIONS)
    crowd.resume()
    assert producer.enough.wait(10)
    with pytest.raises(SendingError, match="no broker"):
        crowd.pause()
    crowd.close()


def test_a_crowd_that_catches_up_sends_the_same_events_until_their_times_are_those_of_the_clock(
    producer: Producer, tmp_path: Path
) -> None:
    behind_seconds = 30
    options = OPTIONS.model_copy(update={"start_ms": int(time.time() * 1000) - behind_seconds * 1000, "rate": 50})
    crowd = PausableCrowd(load_settings(home=tmp_path), options)
    try:
        begun = time.monotonic()
        crowd.catch_up()
        assert time.monotonic() - begun < behind_seconds / 3  # not paced
    finally:
        crowd.close()
    due = [(one, one.due_ms) for one, _ in zip(simulate(options), producer.kept, strict=False)]
    assert producer.kept == [(one.key, one.value) for one, _ in due]
    assert due[-1][1] >= behind_seconds * 1000 - 200
