"""Shipping a log: it goes on where it stopped, over rotation, and neither loses nor doubles a line."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from gamestream_dagster.events.producer import SendingError
from gamestream_dagster.security import shipping
from gamestream_dagster.security.errors import ShippingError
from gamestream_dagster.security.shipping import ship_file, ship_stdin
from gamestream_dagster.settings import Settings, load_settings


class Broker:
    """Takes records as `ScoreProducer` does."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes]] = []
        self.pending: list[tuple[bytes | None, bytes]] = []
        self.fails_after: int | None = None

    def __call__(self, kafka: object, topic: str) -> Broker:
        self.pending = []
        return self

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.flush()

    def send(self, key: bytes | None, value: bytes) -> None:
        self.pending.append((key, value))

    def flush(self) -> None:
        if self.fails_after is not None and len(self.records) + len(self.pending) > self.fails_after:
            raise SendingError("records were not delivered")
        self.records += self.pending
        self.pending = []

    @property
    def lines(self) -> list[str]:
        return [orjson.loads(value)["log"] for _, value in self.records]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(shipping, "ScoreProducer", made)
    monkeypatch.setattr(shipping, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(shipping, "ROTATED_SECONDS", 0.3)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def test_a_second_run_sends_what_is_new(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("one\ntwo\n")
    assert ship_file(settings, log).lines == 2
    with log.open("a") as file:
        file.write("three\n")
    again = ship_file(settings, log)
    assert (again.lines, again.resumed_at) == (1, 8)
    assert broker.lines == ["one", "two", "three"]


def test_a_record_has_the_lines_host_as_key_and_its_time(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("2026-09-21T14:13:20Z gate-1 sshd[1]: x\nno header\n")
    ship_file(settings, log, host="mine")
    (key, value), (other, _) = broker.records
    assert (key, other) == (b"gate-1", b"mine")
    assert orjson.loads(value)["timestamp"] == 1_790_000_000.0


def test_what_was_not_delivered_is_sent_again(
    broker: Broker, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "BATCH_LINES", 3)
    log = tmp_path / "auth.log"
    lines = [f"line {number}" for number in range(10)]
    log.write_text("\n".join(lines) + "\n")
    broker.fails_after = 6
    with pytest.raises(SendingError):
        ship_file(settings, log)
    broker.fails_after = None
    assert ship_file(settings, log).resumed_at > 0
    assert broker.lines == lines


def test_a_rotated_file_is_read_to_its_end_first(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("one\n")
    ship_file(settings, log)
    with log.open("a") as file:
        file.write("two\n")
    log.rename(tmp_path / "auth.log.1")
    log.write_text("three\n")
    (tmp_path / "auth.log.labels.jsonl").write_text("no rotated log\n")
    found = ship_file(settings, log)
    assert broker.lines == ["one", "two", "three"]
    assert not found.replaced


def test_a_former_file_that_is_gone_is_told(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("one\ntwo\n")
    ship_file(settings, log)
    other = tmp_path / "new"
    other.write_text("three\n")
    other.rename(log)
    assert ship_file(settings, log).replaced
    assert broker.lines == ["one", "two", "three"]


def test_an_emptied_file_begins_anew(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("one\ntwo\n")
    ship_file(settings, log)
    log.write_text("three\n")
    ship_file(settings, log)
    assert broker.lines == ["one", "two", "three"]


def test_a_line_that_is_too_long_is_cut(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(b"x" * (3 * shipping.LONGEST_LINE + 5) + b"\nnext\nlast")
    found = ship_file(settings, log)
    assert (found.lines, found.cut) == (3, 1)
    assert [len(line) for line in broker.lines] == [shipping.LONGEST_LINE, 4, 4]
    assert ship_file(settings, log).lines == 0


def test_stdin_is_shipped_to_its_end(broker: Broker, settings: Settings) -> None:
    found = ship_stdin(settings, io.BytesIO(b"one\n\xff\n\nlast"))
    assert found.lines == 4
    assert broker.lines == ["one", "\ufffd", "last"]


def test_a_position_that_cannot_be_read_is_told(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    log, position = tmp_path / "auth.log", tmp_path / "position.json"
    log.write_text("one\n")
    position.write_text("{")
    with pytest.raises(ShippingError, match="cannot be read"):
        ship_file(settings, log, position=position)
    with pytest.raises(ShippingError, match="no file"):
        ship_file(settings, tmp_path / "none", position=position)


def test_a_followed_file_may_grow_be_renamed_and_emptied(
    broker: Broker, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "auth.log"
    log.write_text("one\n")
    stop = threading.Event()
    monkeypatch.setattr(shipping, "until_interrupted", lambda: _Asked(stop))
    running = threading.Thread(target=lambda: ship_file(settings, log, follow=True))
    running.start()
    try:
        _wait(lambda: broker.lines == ["one"])
        with log.open("a") as file:
            file.write("tw")
            file.flush()
            time.sleep(0.05)
            file.write("o\n")
        _wait(lambda: broker.lines == ["one", "two"])
        with log.open("a") as former:
            log.rename(tmp_path / "auth.log.1")
            log.write_text("three\n")
            former.write("and two\n")  # the daemon has not opened the new file yet
        _wait(lambda: broker.lines == ["one", "two", "and two", "three"])
        log.write_text("4\n")
        _wait(lambda: broker.lines == ["one", "two", "and two", "three", "4"])
        with pytest.raises(ShippingError, match="Another run"):
            ship_file(settings, log)
    finally:
        stop.set()
        running.join(10)
    assert ship_file(settings, log).lines == 0


class _Asked:
    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __enter__(self) -> Callable[[], bool]:
        return self._stop.is_set

    def __exit__(self, *_: object) -> None:
        return None


def _wait(until: Callable[[], bool], limit_seconds: float = 20) -> None:
    deadline = time.monotonic() + limit_seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)
