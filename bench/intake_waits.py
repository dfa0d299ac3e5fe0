"""Waits of intake: from the HTTP answer to a reader of enriched events and to a board, and of a key beside another over
its limit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from bench import gate, sightings
from bench.figures import Quantiles
from bench.flink_runs import Job, poll, submitted
from bench.load import MARKER, MARKER_TEAM, TOP
from bench.results import BenchError
from bench.rounds import Say
from gamestream_dagster.cli.keys import key_for_now
from gamestream_dagster.clients.ingest_api import IngestApi
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.events.game_play import play
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.settings import Settings

ENRICHED = "game-events-enriched"
TO_READER, TO_BOARD = "HTTP answer to reader", "HTTP answer to a board in Postgres"
QUIET, FLOODED = "answer, alone", "answer, beside a key over its limit"
BATCH = 100
SETTLE_SECONDS = 60.0
DEPLOY_SECONDS = 120.0


@dataclass(frozen=True)
class WaitOptions:
    """`rate` is in events per second; the first seconds are left out: `discarded_seconds` of the waits for readers (JIT
    compilation of the jobs), `discarded_answers` of those for answers."""

    rate: int = 2_000
    seconds: float = 20.0
    discarded_seconds: float = 20.0
    discarded_answers: float = 5.0
    seed: int = 1_000


@dataclass(frozen=True)
class Answered:
    """When each event was answered, seconds by id; how long each batch took, milliseconds; and when each marker was
    answered, milliseconds since 1970."""

    at: Mapping[str, float]
    took: Sequence[float]
    markers_ms: Sequence[float]
    first_marker: int
    """Number of the first marker that counts."""


def waits(answered: Mapping[str, float], read: Mapping[str, float]) -> list[float]:
    """Milliseconds from the answer to the reading of each event, seconds by id. One may be read before its answer.

    Raises:
        BenchError: an event was never read.
    """
    lost = answered.keys() - read.keys()
    if lost:
        raise BenchError(f"{len(lost)} of {len(answered)} accepted events were never read; see the job's log")
    return [max(0.0, (read[name] - at) * 1000) for name, at in answered.items()]


def waits_of(settings: Settings, options: WaitOptions, jobs: Sequence[Job], say: Say) -> dict[str, Any]:
    """The waits by name, as `Quantiles`.

    Args:
        settings: the stack.
        options: rate and times.
        jobs: intake and the boards, from the ends of their topics on.
        say: receives progress.
    """
    found: dict[str, Quantiles] = {}
    with key_for_now(settings, "bench") as key:
        gate.clear(settings)
        with submitted(settings, jobs) as (flink, ids):
            for name, job_id in ids.items():
                poll(lambda job_id=job_id: flink.job(job_id), lambda it: it.all_tasks_running, DEPLOY_SECONDS, name)
            found[TO_READER], found[TO_BOARD] = _to_readers(settings, key, options)
        say(f"{TO_READER}: {found[TO_READER]}; {TO_BOARD}: {found[TO_BOARD]}")
        found[QUIET] = Quantiles.of(_answers(settings, key, options, options.discarded_answers).took)
        say(f"{QUIET}: {found[QUIET]}")
        with key_for_now(settings, "bench-flood") as other, _flood(settings, other) as statuses:
            found[FLOODED] = Quantiles.of(_answers(settings, key, options, options.discarded_answers).took)
        say(f"{FLOODED}: {found[FLOODED]}; the other key: {dict(statuses)}")
        if not statuses["later"]:
            raise BenchError("the flooding key never came over its limit; lower ingest_rate_per_key and run again")
    return {name: one.as_dict() for name, one in found.items()}


def _to_readers(settings: Settings, key: str, options: WaitOptions) -> tuple[Quantiles, Quantiles]:
    """From the answer to the reader of enriched events, and to the board."""
    with sightings.watching(settings) as seen, _reading(settings) as (read, stop):
        since = time.monotonic() + options.discarded_seconds
        sent = _answers(settings, key, options, options.discarded_seconds)
        counted = {name: at for name, at in sent.at.items() if at >= since}
        last = sent.first_marker + len(sent.markers_ms) - 1
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            if counted.keys() <= read.keys() and seen[sightings.POSTGRES].newest >= last:
                break
            time.sleep(0.2)
        stop.set()
    on_board = sightings.waits(sent.markers_ms, sent.first_marker, seen[sightings.POSTGRES])
    # a row can be seen before its answer is read
    return Quantiles.of(waits(counted, read)), Quantiles.of([max(0.0, one) for one in on_board])


def _answers(settings: Settings, key: str, options: WaitOptions, discarded: float) -> Answered:
    """Send at the rate, each batch when it is due. The last event of a batch is a marker's score."""
    total = int((options.seconds + discarded) * options.rate)
    shape = SimulatorOptions(
        seed=options.seed, start_ms=int(time.time() * 1000), rate=options.rate, events=total, players=20_000
    )
    run = time.time_ns()
    answered: dict[str, float] = {}
    took: list[float] = []
    markers: list[float] = []
    first = 0
    due = began = time.monotonic()
    with IngestApi(settings.ingest_url, key) as api:
        for number, batch in enumerate(_batches(shape)):
            batch[-1] = _marker(run, number)
            time.sleep(max(0.0, due - time.monotonic()))
            reply = api.send([value for _, value in batch])
            now, now_ms = time.monotonic(), time.time() * 1000
            if any(one.verdict != "accepted" for one in reply.verdicts):
                raise BenchError("an event was not accepted; run again on a quiet machine")
            answered |= {name: now for name, _ in batch}
            if due - began >= discarded:
                first = first or number
                markers.append(now_ms)
                took.append((now - due) * 1000)  # from due: a stall counts for those behind it as well
            due += BATCH / options.rate
    return Answered(answered, took, markers, first)


def _marker(run: int, number: int) -> tuple[str, bytes]:
    """A score that raises the marker's total on the board to `TOP` plus its number."""
    name = f"bench-marker-{run}-{number}"
    score = {"team_id": MARKER_TEAM, "team_name": MARKER_TEAM, "score": 1 if number else TOP}
    fields = {"event_id": name, "user_id": MARKER, "event_type": "score", "event_time": time.time_ns() // 1_000_000}
    return name, orjson.dumps({**fields, "properties": score})


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
    """Requests of one key as fast as they are answered, from another process: its answers are counted at the end.

    In this process they would hold the interpreter's lock, and be part of the figures.
    """
    statuses: Counter[str] = Counter()
    command = [sys.executable, "-m", "bench.flood", settings.ingest_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdin is not None:
                process.stdin.write(f"{key}\n")
                process.stdin.flush()
            yield statuses
        finally:
            output, _ = process.communicate(timeout=30)
    statuses.update(json.loads(output or "{}"))


@contextmanager
def _thread(run: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(10)
