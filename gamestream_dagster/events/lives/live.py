"""Lives that go on: after the last day of the simulation, sent to Kafka when they happen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.lives.lines import EventLines
from gamestream_dagster.events.lives.options import DAY_MS, LivesOptions
from gamestream_dagster.events.lives.play import Lives
from gamestream_dagster.events.pacing import Pacer
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.settings import Settings

_TOLD_EVERY = 100


class LiveEvent(NamedTuple):
    """One event to send."""

    at_ms: int
    """When it happens, by the clock of the device."""
    user_id: str
    line: str


def live_events(options: LivesOptions, from_ms: int) -> Iterator[LiveEvent]:
    """What the players of a simulation do from a time on, in the order of the times; endless while players are left.

    The history is simulated again, for the state that it leaves. Sessions that would have begun before `from_ms` are
    not played.

    Args:
        options: of the simulation.
        from_ms: not before its end.
    """
    lives = Lives(options)
    for _ in lives.days():
        pass
    lines, names = EventLines(options, lives.people), lives.people.ids(options)
    waiting: list[LiveEvent] = []
    for day in count((max(from_ms, options.end_ms) - options.start_ms) // DAY_MS):
        for played in lives.day(day, from_ms, sys.maxsize):
            waiting += [LiveEvent(at, names[player], line) for at, player, line in lines.timed(played)]
        waiting.sort(key=lambda event: event.at_ms)
        tomorrow = options.start_ms + (day + 1) * DAY_MS
        upto = next((place for place, event in enumerate(waiting) if event.at_ms >= tomorrow), len(waiting))
        yield from waiting[:upto]
        waiting = waiting[upto:]
        if not waiting and day > lives.people.gone.max():
            return


def go_on_live(
    settings: Settings,
    options: LivesOptions,
    *,
    seconds: float | None = None,
    topic: str | None = None,
    from_ms: int | None = None,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
) -> SimulationResult:
    """Send what the players do from now on, each event when it happens; Ctrl-C ends it cleanly.

    Args:
        settings: which stack.
        options: of the simulation whose players they are.
        seconds: stop after so many; None: when no player is left.
        topic: default: `game-events-raw`.
        from_ms: the players' time at the beginning; default: the clock.
        on_progress: receives progress now and then.

    Raises:
        SendingError: not all records could be delivered.
    """
    result = SimulationResult()
    producer = ScoreProducer(settings.kafka, topic or RAW_TOPIC)
    with producer, until_interrupted() as stopped:
        began = time.monotonic()
        pacer = Pacer(producer, stopped)
        now_ms = int(time.time() * 1000) if from_ms is None else from_ms
        limit = None if seconds is None else seconds * 1000
        for event in live_events(options, now_ms):
            due = event.at_ms - now_ms
            pacer.wait(due if limit is None else min(due, limit))
            result.interrupted = stopped()
            if result.interrupted or (limit is not None and due > limit):
                break
            producer.send(event.user_id.encode(), event.line.encode())
            result.sent += 1
            if result.sent % _TOLD_EVERY == 0:
                on_progress(result)
        producer.flush()
    result.seconds = time.monotonic() - began
    on_progress(result)
    return result
