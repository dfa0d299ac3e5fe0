"""Sends labelled abuse (`abuse_play`) to a stack's topic of game events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.events.abuse_play import AbuseOptions, Planted, abuse_play
from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.settings import Settings

_TOLD_EVERY = 100


def planted(options: AbuseOptions) -> Planted:
    """Cases at the thresholds of the job `game_alerts_v1`."""
    return abuse_play(options, load_boards()["abuse_velocity"].parameters)


def simulate_abuse(
    settings: Settings,
    options: AbuseOptions,
    *,
    truth: Path | None = None,
    topic: str | None = None,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
) -> SimulationResult:
    """Send the events at once, with their own times; Ctrl-C ends it cleanly.

    Args:
        settings: which stack.
        options: what to plant.
        truth: JSON file for the cases; None: none is written. An interrupted run writes none.
        topic: default: `game-events-raw`.
        on_progress: receives progress now and then.

    Raises:
        SendingError: not all records could be delivered.
    """
    play = planted(options)
    result = SimulationResult()
    started = time.monotonic()
    with ScoreProducer(settings.kafka, topic or RAW_TOPIC) as producer, until_interrupted() as stopped:
        for event in play.events:
            if stopped():
                result.interrupted = True
                break
            producer.send(event.user_id.encode(), event.value)
            result.sent += 1
            if result.sent % _TOLD_EVERY == 0:
                on_progress(result)
        producer.flush()
    result.seconds = time.monotonic() - started
    if truth is not None and not result.interrupted:
        truth.parent.mkdir(parents=True, exist_ok=True)
        document = {"options": options.model_dump(), "cases": [asdict(case) for case in play.cases]}
        truth.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        result.truth = truth
    on_progress(result)
    return result
