"""Sends the players of three regions (`region_play`) to a stack's topic of game events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.pacing import Pacer
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.region_play import RegionOptions, RegionTruth, region_play
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.settings import Settings

_TOLD_EVERY = 100


def simulate_regions(
    settings: Settings,
    options: RegionOptions,
    *,
    truth: Path | None = None,
    paced: bool = True,
    topic: str | None = None,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
) -> SimulationResult:
    """Send the events; Ctrl-C ends it cleanly.

    Args:
        settings: which stack.
        options: what to simulate.
        truth: JSON file for the counts of what was sent; None: none is written.
        paced: send each event when it is due; False: as fast as possible.
        topic: default: `game-events-raw`.
        on_progress: receives progress now and then.

    Raises:
        SendingError: not all records could be delivered.
    """
    result = SimulationResult(truth=truth)
    started = time.monotonic()
    counts = RegionTruth(options)
    producer = ScoreProducer(settings.kafka, topic or RAW_TOPIC)
    with producer, until_interrupted() as stopped:
        pacer = Pacer(producer, stopped) if paced else None
        for event in region_play(options):
            if pacer is not None:
                pacer.wait(event.due_ms)
            if stopped():
                result.interrupted = True
                break
            producer.send(event.key, event.value)
            counts.add(event)
            result.sent += 1
            result.kinds[event.event_type] += 1
            if result.sent % _TOLD_EVERY == 0:
                on_progress(result)
        producer.flush()
    result.seconds = time.monotonic() - started
    if truth is not None:
        truth.parent.mkdir(parents=True, exist_ok=True)
        truth.write_text(json.dumps(counts.document(), indent=1) + "\n", encoding="utf-8")
    on_progress(result)
    return result
