"""Sends records when they are due, without busy waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gamestream_dagster.events.producer import ScoreProducer

SLACK_MS: Final = 2.0  # a due time nearer than this counts as now: a shorter sleep costs more than it gains
LONGEST_WAIT_SECONDS: Final = 60.0


class Pacer:
    """The clock of one stream. Waiting serves the producer's delivery reports.

    Args:
        producer: its reports are served.
        stopped: ends every wait once it returns True.
    """

    def __init__(self, producer: ScoreProducer, stopped: Callable[[], bool] = lambda: False) -> None:
        self._producer = producer
        self._stopped = stopped
        self._start = time.monotonic()

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the start."""
        return (time.monotonic() - self._start) * 1000

    def wait(self, due_ms: float) -> None:
        """Return when `due_ms` milliseconds have passed since the start, or at once if they have."""
        while (left := due_ms - self.elapsed_ms) > SLACK_MS and not self._stopped():
            self._producer.poll(min(left / 1000, 0.1))


class EventClock:
    """Due times by event time. A gap longer than `longest_wait` seconds is cut to that, for all later events.

    Args:
        speed: factor over event time.
        longest_wait: seconds.
    """

    def __init__(self, speed: float, longest_wait: float) -> None:
        self._speed = speed
        self._longest_ms = longest_wait * 1000
        self._origin_ms: float | None = None  # event time that is due at the start

    def due(self, event_ms: int, elapsed_ms: float) -> tuple[float, float]:
        """When the event is due, and when it would be due without cut gaps; milliseconds since the start."""
        if self._origin_ms is None:
            self._origin_ms = event_ms - elapsed_ms * self._speed
        wanted = (event_ms - self._origin_ms) / self._speed
        latest = elapsed_ms + self._longest_ms
        if wanted <= latest:
            return wanted, wanted
        self._origin_ms = event_ms - latest * self._speed
        return latest, wanted
