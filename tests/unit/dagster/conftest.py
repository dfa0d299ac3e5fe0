"""What all tests of assets share."""

from __future__ import annotations

import time

import pytest


class QuickClock:
    """A clock that a sleep moves on at once, so that the pauses between tries cost nothing."""

    def __init__(self) -> None:
        self.slept = 0.0

    def time(self) -> float:
        return time.time() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture(autouse=True)
def _no_pause_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._core.execution.plan import active

    monkeypatch.setattr(active, "time", QuickClock())
