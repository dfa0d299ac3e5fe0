"""A seeded crowd that plays at a steady rate and can be paused: what it sends does not depend on when it is paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from gamestream_dagster.catalogue.sources import score_source
from gamestream_dagster.events.producer import ScoreProducer, SendingError
from gamestream_dagster.events.simulator import SimulatedRecord, SimulatorOptions, simulate
from gamestream_dagster.settings import Settings

PAUSE_SECONDS = 30.0
CATCH_UP_SECONDS = 120.0
_STEP_SECONDS = 0.1


class PausableCrowd:
    """Sends the records of one simulation from a thread; `resume` and `pause` as often as wanted.

    The simulation's clock stands while it is paused, so the events, their order and their times are those of the seed.
    """

    def __init__(self, settings: Settings, options: SimulatorOptions) -> None:
        self._producer = ScoreProducer(settings.kafka, score_source(settings).topic, client_id="gamestream-drill")
        self._records: Iterator[SimulatedRecord] = simulate(options)
        self._go = threading.Event()
        self._still = threading.Event()
        self._still.set()
        self.others = 0
        """Events that somebody else has sent meanwhile."""
        self._start_ms = options.start_ms
        self._catch_up = threading.Event()
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="drill-crowd", daemon=True)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Events that the broker has confirmed."""
        return self._producer.deliveries.delivered + self.others

    def resume(self) -> None:
        """Play on."""
        self._raise_failure()
        self._still.clear()
        self._go.set()

    def pause(self) -> int:
        """Stop after the event at hand and wait until all are delivered; how many were sent since the beginning.

        Raises:
            SendingError: some could not be delivered.
        """
        self._go.clear()
        if not self._still.wait(PAUSE_SECONDS):
            raise SendingError("The crowd did not stop; see `gamestream status`, then start the drill again.")
        self._raise_failure()
        self._producer.flush()
        return self.sent

    def catch_up(self) -> None:
        """Send what the pauses held back, unpaced, and play on with events whose times are those of the wall clock.

        Raises:
            SendingError: some could not be delivered, or it took longer than two minutes.
        """
        self._catch_up.set()
        self.resume()
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while self._catch_up.is_set():
            self._raise_failure()
            if time.monotonic() > deadline:
                raise SendingError(
                    f"The crowd was not up to date after {CATCH_UP_SECONDS:.0f} s; start the drill with a lower --rate."
                )
            time.sleep(_STEP_SECONDS)
        self._producer.flush()

    def close(self) -> None:
        """End the thread. What was not delivered is given up."""
        self._closed = True
        self._go.set()
        self._thread.join(PAUSE_SECONDS)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SendingError(str(self._failure)) from self._failure

    def _run(self) -> None:
        began: float | None = None
        try:
            for record in self._records:
                while not self._go.is_set():
                    self._still.set()
                    self._go.wait(_STEP_SECONDS)
                    began = None
                if self._closed:
                    return
                due = record.due_ms / 1000
                if self._catch_up.is_set():
                    began = time.monotonic() - time.time() + self._start_ms / 1000
                    if began + due > time.monotonic():
                        self._catch_up.clear()
                began = time.monotonic() - due if began is None else began
                while (left := began + due - time.monotonic()) > 0:
                    self._producer.poll(min(left, _STEP_SECONDS))
                self._producer.send(record.key, record.value)
        except SendingError as error:
            self._failure = error
        finally:
            self._still.set()
