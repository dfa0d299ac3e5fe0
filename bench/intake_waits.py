"""Waits of intake: from the HTTP answer to a reader of enriched events, and of a key beside another over its limit."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from bench.figures import Quantiles
from bench.flink_runs import Job, submitted
from bench.results import BenchError
from bench.rounds import Say
from gamestream_dagster.cli.keys import key_for_now
from gamestream_dagster.clients.ingest_api import IngestApi, TryLaterError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.events.game_play import play
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.settings import Settings

ENRICHED = "game-events-enriched"
TO_READER, QUIET, FLOODED = "HTTP answer to reader", "answer, alone", "answer, beside a key over its limit"
BATCH = 100
SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class WaitOptions:
    """`rate` is in events per second; the first `discarded_seconds` are left out (JIT compilation)."""

    rate: int = 2_000
    seconds: float = 30.0
    discarded_seconds: float = 20.0
    seed: int = 1_000


def waits(answered: Mapping[str, float], read: Mapping[str, float]) -> list[float]:
    """Milliseconds from the answer to the reading of each event, seconds by id. One may be read before its answer.

    Raises:
        BenchError: an event was never read.
    """
    lost = answered.keys() - read.keys()
    if lost:
        raise BenchError(f"{len(lost)} of {len(answered)} accepted events were never read; see the job's log")
    return [max(0.0, (read[name] - at) * 1000) for name, at in answered.items()]


def waits_of(settings: Settings, options: WaitOptions, job: Job, say: Say) -> dict[str, Any]:
    """The waits by name, as `Quantiles`."""
    found: dict[str, Quantiles] = {}
    with key_for_now(settings, "bench") as key:
        with submitted(settings, [job]):
            found[TO_READER] = Quantiles.of(_to_reader(settings, key, options))
            say(f"{TO_READER}: {found[TO_READER]}")
        found[QUIET] = Quantiles.of(list(_answers(settings, key, options)[1]))
        say(f"{QUIET}: {found[QUIET]}")
        with key_for_now(settings, "bench-flood") as other, _flood(settings, other) as statuses:
            found[FLOODED] = Quantiles.of(list(_answers(settings, key, options)[1]))
        say(f"{FLOODED}: {found[FLOODED]}; the other key: {dict(statuses)}")
        if not statuses["later"]:
            raise BenchError("the flooding key never came over its limit; lower ingest_rate_per_key and run again")
    return {name: one.as_dict() for name, one in found.items()}


def _to_reader(settings: Settings, key: str, options: WaitOptions) -> list[float]:
    with _reading(settings) as (read, stop):
        since = time.monotonic() + options.discarded_seconds
        answered, _ = _answers(settings, key, options)
        counted = {name: at for name, at in answered.items() if at >= since}
        deadline = time.monotonic() + SETTLE_SECONDS
        while not counted.keys() <= read.keys() and time.monotonic() < deadline:
            time.sleep(0.2)
        stop.set()
    return waits(counted, read)


def _answers(settings: Settings, key: str, options: WaitOptions) -> tuple[dict[str, float], list[float]]:
    """Send at the rate, each batch when it is due; when each event was answered, and how long each batch took."""
    total = int((options.seconds + options.discarded_seconds) * options.rate)
    shape = SimulatorOptions(
        seed=options.seed, start_ms=int(time.time() * 1000), rate=options.rate, events=total, players=20_000
    )
    answered: dict[str, float] = {}
    took: list[float] = []
    due = began = time.monotonic()
    with IngestApi(settings.ingest_url, key) as api:
        for batch in _batches(shape):
            time.sleep(max(0.0, due - time.monotonic()))
            reply = api.send([value for _, value in batch])
            now = time.monotonic()
            answered |= {
                name: now
                for (name, _), verdict in zip(batch, reply.verdicts, strict=True)
                if verdict.verdict == "accepted"
            }
            if due - began >= options.discarded_seconds:
                took.append((now - due) * 1000)  # from due: a stall counts for those behind it as well
            due += BATCH / options.rate
    return answered, took


def _batches(shape: SimulatorOptions) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for record in play(shape):
        batch.append((record.origin.event.event_id or "", record.value))
        if len(batch) == BATCH:
            yield batch
            batch = []


@contextmanager
def _reading(settings: Settings) -> Iterator[tuple[Mapping[str, float], threading.Event]]:
    """When each event of the enriched topic was read from now on, by id, as a read_committed reader sees it."""
    read: dict[str, float] = {}
    stop = threading.Event()
    ends = KafkaAdmin(settings.kafka).end_offsets(ENRICHED)
    options = {"group.id": "bench-intake", "enable.auto.commit": False, "isolation.level": "read_committed"}
    consumer = Consumer(settings.kafka.options({**options, "fetch.wait.max.ms": 10}))
    consumer.assign([TopicPartition(ENRICHED, partition, end) for partition, end in ends.items()])

    def run() -> None:
        while not stop.is_set():
            for message in consumer.consume(1000, 0.05):
                if message.error() is None:
                    read[orjson.loads(message.value() or b"{}")["event_id"]] = time.monotonic()

    with _thread(run, stop):
        yield read, stop
    consumer.close()


@contextmanager
def _flood(settings: Settings, key: str) -> Iterator[Counter[str]]:
    """Requests of one key as fast as they are answered: `accepted` and `later` (429)."""
    statuses: Counter[str] = Counter()
    stop = threading.Event()

    def run() -> None:
        with IngestApi(settings.ingest_url, key) as api:
            while not stop.is_set():
                try:
                    api.send([b"{}"])
                    statuses["answered"] += 1
                except TryLaterError:
                    statuses["later"] += 1

    with _thread(run, stop), _thread(run, stop):
        yield statuses


@contextmanager
def _thread(run: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(10)
