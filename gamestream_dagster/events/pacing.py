"""Sends records when they are due, without a busy loop."""

from __future__ import annotations

import time
from typing import Final

from gamestream_dagster.events.producer import ScoreProducer

SLACK_MS: Final = 2.0  # nearer than this is now: sleeping for less costs more than it gains


class Pacer:
    """The clock of one stream. Waiting serves the producer's delivery reports."""

    def __init__(self, producer: ScoreProducer) -> None:
        self._producer = producer
        self._start = time.monotonic()

    def wait(self, due_ms: float) -> None:
        """Return when `due_ms` milliseconds have passed since the start; at once when they have."""
        while (left := due_ms - (time.monotonic() - self._start) * 1000) > SLACK_MS:
            self._producer.poll(min(left / 1000, 0.1))
