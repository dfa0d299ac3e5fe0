"""Kafka stopped under load: what callers are told, how soon events are accepted again, and whether any was lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.results import BenchError, Table
from bench.rounds import Say
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.cli.keys import key_for_now
from gamestream_dagster.clients.ingest_api import EventVerdict, IngestApi
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.events.game_play import GameRecord, play
from gamestream_dagster.events.http_sending import HttpSender
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.settings import Settings

BATCH = 100
LEAD_SECONDS = 3.0
RECOVERY_SECONDS = 120.0


@dataclass(frozen=True)
class OutageOptions:
    """`seconds` without Kafka, under `rate` events per second; 0 seconds: not measured."""

    seconds: float = 60.0
    rate: int = 500
    seed: int = 2_000


@dataclass
class _Told:
    """What the sender was told. Seconds are those of the monotonic clock."""

    accepted: dict[str, float] = field(default_factory=dict[str, float])
    duplicates: set[str] = field(default_factory=set[str])
    waits: Counter[str] = field(default_factory=Counter[str])

    def verdict(self, record: GameRecord, verdict: EventVerdict) -> None:
        event_id = record.origin.event.event_id or ""
        if verdict.verdict == "accepted":
            self.accepted[event_id] = time.monotonic()
        elif verdict.verdict == "duplicate":  # stored before, its answer was lost: acknowledged now
            self.duplicates.add(event_id)
            self.accepted.setdefault(event_id, time.monotonic())

    def waited(self, _seconds: float, why: str) -> None:
        self.waits[reason_of(why)] += 1


def reason_of(why: str) -> str:
    """The kind of an answer without verdicts: `503`, `retry` (some events are to be sent again), or the sentence."""
    if why.startswith("it answers 503"):
        return "503"
    return "retry" if why == "Kafka does not confirm them" else why


def outage_of(settings: Settings, options: OutageOptions, say: Say) -> dict[str, Any]:
    """Stop Kafka for a while under load, start it, and compare the topic with what was acknowledged.

    Raises:
        BenchError: an acknowledged event is not in the topic, a caller was told something else than 503 or `retry`, or
            nothing is accepted again.
    """
    admin, told = KafkaAdmin(settings.kafka), _Told()
    before = admin.end_offsets(RAW_TOPIC)
    failed: list[BaseException] = []
    stop = threading.Event()
    with key_for_now(settings, "bench-outage") as key:

        def send() -> None:
            try:
                _send(settings, key, options, told, stop)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                failed.append(error)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        time.sleep(LEAD_SECONDS)
        stack = Stack(settings)
        if not stack.stop("kafka"):
            raise BenchError("Kafka is not a server of this stack, so it cannot be stopped; give a stack with its own")
        stopped = time.monotonic()
        say(f"Kafka is stopped; {len(told.accepted)} events were accepted before")
        time.sleep(options.seconds)
        stack.up(("kafka",))
        back = time.monotonic()
        recovered = _recovered(told, back, failed)
        time.sleep(LEAD_SECONDS)
        stop.set()
        sender.join(RECOVERY_SECONDS)
    if failed or sender.is_alive():
        raise BenchError(f"the sender did not go on ({failed[0] if failed else 'it still waits'})")
    found = _figures(told, _stored(settings, before, admin.end_offsets(RAW_TOPIC)))
    found |= {
        "seconds without Kafka": round(back - stopped, 1),
        "seconds until accepted again": round(recovered - back, 2),
    }
    say(f"Kafka stopped: {found}")
    return found


def _figures(told: _Told, stored: Counter[str]) -> dict[str, Any]:
    """What was told, against what the topic holds of each id.

    Raises:
        BenchError: an acknowledged event is lost, or a caller was told something else than 503 or `retry`.
    """
    unexpected = told.waits.keys() - {"503", "retry"}
    if unexpected:
        raise BenchError(f"callers were told {sorted(unexpected)} in place of 503 or retry")
    lost = told.accepted.keys() - stored.keys()
    if lost:
        raise BenchError(f"{len(lost)} acknowledged events are not in {RAW_TOPIC}")
    return {
        "acknowledged": len(told.accepted),
        "acknowledged and lost": 0,
        "stored twice": sum(stored[one] > 1 for one in told.accepted),
        "answers 503": told.waits["503"],
        "answers with retry": told.waits["retry"],
    }


def _send(settings: Settings, key: str, options: OutageOptions, told: _Told, stop: threading.Event) -> None:
    """Batches at the rate, each until all of it has verdicts, until `stop`."""
    shape = SimulatorOptions(seed=options.seed, start_ms=int(time.time() * 1000), rate=options.rate, players=5_000)
    with IngestApi(settings.ingest_url, key) as api:
        sender = HttpSender(api, BATCH, on_verdict=told.verdict, on_wait=told.waited)
        due = time.monotonic()
        for number, record in enumerate(play(shape), 1):
            sender.add(record)
            if number % BATCH == 0:
                if stop.is_set():
                    return
                due = max(due + BATCH / options.rate, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))


def _recovered(told: _Told, back: float, failed: list[BaseException]) -> float:
    """When the first event was accepted after Kafka was back."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not failed and time.monotonic() < deadline:
        newest = max(list(told.accepted.values()), default=0.0)
        if newest > back:
            return min(at for at in list(told.accepted.values()) if at > back)
        time.sleep(0.05)
    raise BenchError(f"no event was accepted within {RECOVERY_SECONDS:.0f} s after Kafka was back")


def _stored(settings: Settings, start: dict[int, int], ends: dict[int, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for chunk in read_range(settings.kafka, RAW_TOPIC, start, ends):
        found.update(orjson.loads(value)["event_id"] for value in chunk.raw.values if value)
    return found


def outage_table(figures: dict[str, Any]) -> Table:
    """The figures, one row each."""
    return Table("Kafka stopped under load", ["what", "figure"], [[name, one] for name, one in figures.items()])
