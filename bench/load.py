"""The load of the latency measure, a process of its own: `python -m bench.load <JSON>`.

Open loop: each record has a time at which it is due, whatever became of the ones before. What is late is sent at once
and still counts from when it was due, so that a stall is not left out of the figures.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass

from confluent_kafka import Producer

from bench.dataset import FLUSH_SECONDS, PARTITIONS
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.events.producer import PRODUCER_SETTINGS

STEP_SECONDS = 0.002
"""What comes due within it is sent together: to wake for each record takes cores that the jobs need."""
MARKER, MARKER_TEAM = "MARKER", "MARKER-TEAM"
TOP = 1_000_000_000_000
"""The marker's first score, the greatest that is accepted: from then on it is at rank 1, and each marker adds 1."""


@dataclass(frozen=True)
class Load:
    """What to send: `rate` records a second for `seconds`, and in place of some of them a marker."""

    bootstrap: str
    topic: str
    rate: int
    seconds: float
    players: int
    seed: int
    first: int
    """Number of the first marker."""
    marker_ms: int = 50

    def as_json(self) -> str:
        """For the other process."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Sent:
    """What was sent. `due_ms` is the time, milliseconds since 1970, at which each marker was due."""

    due_ms: list[float]
    behind_ms: float
    """How late the generator itself was at worst."""
    records: int


def value(user: str, team: str, score: int, at_ms: int, number: str) -> bytes:
    """One event as JSON; no name needs escaping."""
    return (
        f'{{"user_id":"{user}","team_id":"{team}","team_name":"{team}","score":{score},"event_time_millis":{at_ms},'
        f'"readable_time":"","event_type":"normal","event_id":"{number}"}}'
    ).encode()


def send(load: Load) -> Sent:
    """Send until the time is over, then wait until all is delivered."""
    producer = Producer(KafkaConnection(load.bootstrap).options(PRODUCER_SETTINGS))
    chance = random.Random(load.seed)  # noqa: S311 - a simulation, not a secret
    _connect(producer, load)
    due_ms: list[float] = []
    behind, step = 0.0, 1.0 / load.rate
    every = max(1, load.rate * load.marker_ms // 1000)
    total = int(load.rate * load.seconds)
    start, wall = time.perf_counter(), time.time()
    for number in range(total):
        due = number * step
        if (left := due - (time.perf_counter() - start)) > 0:
            producer.poll(0)
            time.sleep(max(left, STEP_SECONDS))
            left = due - (time.perf_counter() - start)
        behind = max(behind, -left)
        at_ms = int((wall + due) * 1000)
        if number % every == 0:
            user, team, score = MARKER, MARKER_TEAM, 1
            due_ms.append((wall + due) * 1000)
        else:
            player = int(chance.random() * load.players)
            user, team, score = f"USR-{player:06d}", f"TEAM-{player // 20:05d}", int(chance.random() * 21)
        event = value(user, team, score, at_ms, f"{load.first}-{load.seed}-{number}")
        producer.produce(load.topic, event, user.encode())
        if number % 100 == 0:
            producer.poll(0)
    if producer.flush(FLUSH_SECONDS):
        raise SystemExit("Kafka did not take all records in time")
    return Sent(due_ms, behind * 1000, total)


def _connect(producer: Producer, load: Load) -> None:
    """An event to each partition before the clock starts: to connect takes half a second, and belongs to no event."""
    event = value("FIRST", "FIRST-TEAM", 0, int(time.time() * 1000), f"{load.first}-{load.seed}-connect")
    for partition in range(PARTITIONS):
        producer.produce(load.topic, event, partition=partition)
    if producer.flush(FLUSH_SECONDS):
        raise SystemExit("Kafka did not take the first record in time")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(send(Load(**json.loads(sys.argv[1]))))) + "\n")
