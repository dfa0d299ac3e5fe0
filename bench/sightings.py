"""Who sees a marker when: Postgres by asking, Kafka by reading, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import orjson
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import text

from bench.load import MARKER, TOP
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.settings import Settings

ASK_SECONDS = 0.004
BOARD_TOPIC = "top-players"
TOTAL = text("SELECT total_score FROM top_players WHERE user_id = :marker")
TICK = text("SELECT max(as_of) FROM hot_streaks")
POSTGRES, COMMITTED, UNCOMMITTED = "Postgres", "Kafka, read_committed", "Kafka, read_uncommitted"
HOT = "hot streaks in Postgres, after their tick"


@dataclass
class Sightings:
    """Ever greater values, and when each was first seen (milliseconds since 1970)."""

    values: list[int] = field(default_factory=list)
    at_ms: list[float] = field(default_factory=list)

    def see(self, value: int, at_ms: float) -> None:
        """Note a value, unless one as great was seen before."""
        if not self.values or value > self.values[-1]:
            self.at_ms.append(at_ms)
            self.values.append(value)

    @property
    def newest(self) -> int:
        """The greatest value so far; 0 before the first."""
        return self.values[-1] if self.values else 0


def waits(due_ms: Sequence[float], first: int, seen: Sightings) -> list[float]:
    """How long each marker took to be seen, milliseconds.

    Args:
        due_ms: when each marker was due, in order.
        first: number of the first of them; marker n is seen when the value is n or more.
        seen: by one observer.

    Raises:
        ValueError: some were never seen.
    """
    found: list[float] = []
    for number, due in enumerate(due_ms, first):
        place = bisect_left(seen.values, number)
        if place == len(seen.values):
            raise ValueError(f"marker {number} was never seen; the greatest is {seen.newest}")
        found.append(seen.at_ms[place] - due)
    return found


@contextmanager
def watching(settings: Settings) -> Iterator[dict[str, Sightings]]:
    """Watch both sinks until the block ends. Values are numbers of markers; for hot streaks ticks in milliseconds.

    Raises:
        What a watcher raised, when the block ends.
    """
    seen = {name: Sightings() for name in (POSTGRES, COMMITTED, UNCOMMITTED, HOT)}
    stop, failed = threading.Event(), []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                failed.append(error)

        return run

    works = [
        lambda: _watch_postgres(settings, seen, stop),
        lambda: _watch_kafka(settings.kafka, seen[COMMITTED], "read_committed", stop),
        lambda: _watch_kafka(settings.kafka, seen[UNCOMMITTED], "read_uncommitted", stop),
    ]
    threads = [threading.Thread(target=guarded(work), daemon=True) for work in works]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join, 15)
        stack.callback(stop.set)
        yield seen
    if failed:
        raise failed[0]


def _watch_postgres(settings: Settings, seen: dict[str, Sightings], stop: threading.Event) -> None:
    with open_engine(settings) as engine, engine.connect() as opened:
        database = opened.execution_options(isolation_level="AUTOCOMMIT")
        turn = 0
        while not stop.wait(ASK_SECONDS):
            total = database.execute(TOTAL, {"marker": MARKER}).scalar()
            if total is not None:
                seen[POSTGRES].see(int(total) - TOP, time.time() * 1000)
            turn += 1
            if turn % 5 == 0 and (tick := database.execute(TICK).scalar()) is not None:
                seen[HOT].see(round(tick.timestamp() * 1000), time.time() * 1000)


def _watch_kafka(kafka: KafkaConnection, seen: Sightings, isolation: str, stop: threading.Event) -> None:
    ends = KafkaAdmin(kafka).end_offsets(BOARD_TOPIC)
    consumer = Consumer(
        kafka.options(
            {
                "group.id": f"bench-{isolation}",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "fetch.wait.max.ms": 10,
            }
        )
    )
    try:
        consumer.assign([TopicPartition(BOARD_TOPIC, partition, end) for partition, end in ends.items()])
        while not stop.is_set():
            for message in consumer.consume(1000, timeout=0.02):
                body = message.value()
                row = orjson.loads(body) if isinstance(body, bytes) and message.error() is None else {}
                if row.get("user_id") == MARKER:
                    seen.see(int(row["total_score"]) - TOP, time.time() * 1000)
    finally:
        consumer.close()
