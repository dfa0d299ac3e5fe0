"""Rounds of the alerts while a drill runs, as the sensor does them: also while commands run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.errors import GamestreamError, sentence_of
from gamestream_dagster.monitoring.watch import watch
from gamestream_dagster.settings import Settings

_PAUSE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.2


class Rounds:
    """Counts the rounds that a thread does."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._ended = threading.Event()
        self._done = 0

    def until(self, is_done: Callable[[], bool], limit: float) -> None:
        """Return when `is_done` holds after a round that began in this call, or after `limit` seconds."""
        deadline = time.monotonic() + limit
        fresh = self._done + 2  # the round that runs now began before
        while time.monotonic() < deadline:
            if self._done >= fresh and is_done():
                return
            time.sleep(_POLL_SECONDS)

    def run(self) -> None:
        """Do rounds until the end."""
        while not self._ended.is_set():
            try:
                watch(self._settings)
            except (GamestreamError, SQLAlchemyError, OSError) as error:
                self._say(f"a round of the alerts failed: {sentence_of(error)}")
            self._done += 1
            self._ended.wait(_PAUSE_SECONDS)

    def end(self) -> None:
        """Do no further round."""
        self._ended.set()


@contextmanager
def rounds(settings: Settings, say: Callable[[str], None]) -> Iterator[Rounds]:
    """Rounds, one after the other, while the body runs."""
    made = Rounds(settings, say)
    thread = threading.Thread(target=made.run, name="drill-rounds", daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.end()
        thread.join()
