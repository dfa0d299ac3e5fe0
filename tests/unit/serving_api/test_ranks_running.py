"""The process of the loader: what it does while a server is away, and before there is a topic."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from gamestream_dagster.clients.errors import NotFoundError, ServiceError, TransientServiceError
from gamestream_dagster.platform.ranks import probe
from gamestream_dagster.serving_api.ranks import running
from gamestream_dagster.serving_api.ranks.running import Check, TopicAnewError, load_until
from gamestream_dagster.settings import load_settings

ABSENT = NotFoundError("Kafka", "there is no topic player-totals", "make it with `gamestream apply`")
AWAY = TransientServiceError("Valkey", "no answer from valkey://here in time", "see `gamestream status`")


class Loader:
    """Ends the loading with its round."""

    def __init__(self, ended: threading.Event) -> None:
        self.ended = ended

    def round(self) -> int:
        self.ended.set()
        return 1


def load(monkeypatch: pytest.MonkeyPatch, home: Path, *failures: Exception, rounds: bool = True) -> None:
    """Each opening fails as given; the next one loads, or is the end."""
    monkeypatch.setattr(running, "PAUSE_SECONDS", 0.0)
    (home / "ranks").mkdir(parents=True)
    ended, waiting = threading.Event(), list(failures)

    @contextmanager
    def open_loader() -> Iterator[tuple[Any, Check]]:
        if waiting:
            failure = waiting.pop(0)
            if not waiting and not rounds:
                ended.set()
            raise failure
        yield Loader(ended), cast("Check", lambda: None)

    load_until(ended, open_loader, home / "ranks" / "heartbeat")


def test_a_stack_without_the_topic_is_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    load(monkeypatch, tmp_path, ABSENT, rounds=False)
    assert probe(settings) is None


def test_a_loader_that_a_server_keeps_from_its_first_round_is_not_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load(monkeypatch, tmp_path, AWAY, rounds=False)
    assert probe(load_settings(home=tmp_path)) == "no round yet"


@pytest.mark.parametrize("failure", [ABSENT, AWAY, TopicAnewError("another topic")])
def test_it_loads_once_what_was_missing_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: Exception
) -> None:
    load(monkeypatch, tmp_path, failure)
    assert probe(load_settings(home=tmp_path)) is None


def test_a_reason_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[ServiceError] = [AWAY, AWAY, ABSENT, ABSENT, AWAY]
    with caplog.at_level(logging.WARNING, running.__name__):
        load(monkeypatch, tmp_path, *failures)
    assert caplog.messages == [str(AWAY), str(ABSENT), str(AWAY)]
