"""Runs the simulator over HTTP, with the ground truth beside it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gamestream_dagster.clients.ingest_api import MAX_EVENTS, EventVerdict
from gamestream_dagster.events.game_play import GameRecord, play
from gamestream_dagster.events.http_sending import Answers, Api, HttpSender, OnWait
from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.pacing import SLACK_MS
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.events.truth import Truth

LINGER_MS: Final = 100.0
"""Longest time that an event waits for its batch to fill."""


@dataclass
class HttpSimulationResult(SimulationResult):
    """The outcome of a simulation over HTTP. `sent` are the events that have a verdict."""

    answers: Answers = field(default_factory=Answers)
    types: Counter[str] = field(default_factory=Counter)
    """Events by type."""


def run_http_simulation(
    options: SimulatorOptions,
    api: Api,
    truth_path: Path | None,
    *,
    batch: int = MAX_EVENTS,
    paced: bool = True,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
    on_wait: OnWait = lambda seconds, why: None,
) -> HttpSimulationResult:
    """Send a simulated stream of game events; Ctrl-C ends it cleanly.

    Args:
        options: the stream.
        api: where to.
        truth_path: Parquet file of the ground truth; None: not written.
        batch: events in one request at most.
        paced: send each event within `LINGER_MS` of when it is due; False: as fast as possible.
        on_progress: receives progress after each batch.
        on_wait: told the seconds, and why, before events are sent again.

    Raises:
        SendingError: events got no verdict in time.
        TerminalServiceError: the server refuses the requests.
    """
    result = HttpSimulationResult(truth=truth_path)
    started = time.monotonic()
    with until_interrupted() as stopped, Truth(truth_path) if truth_path else nullcontext() as truth:

        def note(record: GameRecord, verdict: EventVerdict) -> None:
            result.sent += 1
            result.kinds[record.origin.kind.value] += 1
            result.types[record.event_type] += 1
            if truth is not None:
                place = verdict.partition, verdict.offset
                truth.add(record.origin, *place, _reason(record, verdict), record.event_type)

        sender = HttpSender(api, batch, on_verdict=note, on_wait=on_wait, stopped=stopped)
        result.answers = sender.answers
        pacer = _Pacer(sender, stopped) if paced else None
        try:
            for record in play(options):
                if pacer is not None:
                    pacer.wait(record.origin.due_ms)
                if stopped():
                    result.interrupted = True
                    break
                sender.add(record)
                if not sender.waiting:
                    result.seconds = time.monotonic() - started
                    on_progress(result)
            sender.flush()
        except KeyboardInterrupt:
            result.interrupted = True
        result.seconds = time.monotonic() - started
    on_progress(result)
    return result


def _reason(record: GameRecord, verdict: EventVerdict) -> str | None:
    """Why the event counts on no board."""
    if verdict.verdict == "refused":
        return verdict.code
    return "LATE" if record.late else None


class _Pacer:
    """Waits until an event is due, and sends what has waited for its batch long enough."""

    def __init__(self, sender: HttpSender, stopped: Callable[[], bool]) -> None:
        self._sender = sender
        self._stopped = stopped
        self._start = time.monotonic()
        self._oldest_ms: float | None = None  # when the first event of the unsent batch was due

    def wait(self, due_ms: float) -> None:
        while (left := due_ms - self._elapsed_ms()) > SLACK_MS and not self._stopped():
            if not self._sender.waiting:
                self._oldest_ms = None
            elif self._oldest_ms is not None and due_ms - self._oldest_ms > LINGER_MS:
                self._sender.flush()
                continue
            time.sleep(min(left / 1000, LINGER_MS / 1000))
        if not self._sender.waiting:
            self._oldest_ms = due_ms

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self._start) * 1000
