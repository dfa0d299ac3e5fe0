"""The events that contestants share: drawn by DuckDB from a seed, sent to a topic of their own, archived once.

Not the simulator's: it is a contestant itself, and slower than its consumers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from confluent_kafka import KafkaError, Message, Producer

from bench.results import BenchError
from gamestream_dagster.catalogue.sources import Source, score_source
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.events.avro import score_encoder
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.events.score_event import ScoreEvent
from gamestream_dagster.settings import Settings, TopicFormat

SQL = Path(__file__).with_name("sql")
PARTITIONS = 4
BATCH = 50_000
FLUSH_SECONDS = 120.0
START_MS = 1_760_000_000_000
"""Event time of the first event: the same bytes on each day."""


@dataclass(frozen=True)
class Dataset:
    """The events of a topic. `rate` is events per second of event time, which decides the work of windows."""

    events: int
    players: int
    seed: int = 1
    zipf: float = 0.0
    rate: int = 20_000
    score_format: TopicFormat = TopicFormat.JSON

    @property
    def teams(self) -> int:
        """A team has 20 players; there are at least 15 teams, as in the first demo."""
        return max(15, self.players // 20)

    @property
    def skew(self) -> str:
        """As text."""
        return f"Zipf {self.zipf:g}" if self.zipf else "uniform"

    @property
    def title(self) -> str:
        """For tables."""
        return f"{self.players:,} players, {self.score_format.value}, {self.skew}"

    @property
    def topic(self) -> str:
        """Name of its topic: other events, other topic."""
        skew = f"zipf{round(self.zipf * 100)}" if self.zipf else "uniform"
        return f"bench-{self.score_format}-{self.events}-{self.players}-{skew}-{self.rate}-{self.seed}"

    def stream(self, settings: Settings) -> Source:
        """The stream of score events as this dataset has it: another topic, and its own encoding."""
        return replace(score_source(settings), topic=self.topic, format=self.score_format)


class Draw:
    """Draws the events of a dataset in bounded pieces. Close it, or use it as a context manager."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._db = duckdb.connect(":memory:", config={"threads": 2})
        shape = {"players": dataset.players, "zipf": dataset.zipf, "seed": dataset.seed}
        text = (SQL / "lots.sql").read_text(encoding="utf-8")
        self._db.execute("CREATE TABLE lots (player BIGINT, lower DOUBLE)")
        if dataset.zipf:
            self._db.execute("INSERT INTO lots " + text, shape)

    def __enter__(self) -> Draw:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @cached_property
    def _sql(self) -> str:
        return (SQL / "events.sql").read_text(encoding="utf-8")

    def columns(self, first: int, last: int) -> dict[str, list[Any]]:
        """Events from number `first` up to, not including, `last`, column by column."""
        chosen = self.dataset
        parameters = {
            "first": first,
            "last": last,
            "seed": chosen.seed,
            "players": chosen.players,
            "teams": chosen.teams,
            "rate": chosen.rate,
            "start_ms": START_MS,
            "skewed": bool(chosen.zipf),
        }
        return self._db.sql(self._sql, params=parameters).to_arrow_table().to_pydict()

    def batches(self) -> Iterator[dict[str, list[Any]]]:
        """All events in order, in bounded pieces."""
        for first in range(0, self.dataset.events, BATCH):
            yield self.columns(first, min(first + BATCH, self.dataset.events))

    def records(self, encode: Callable[[ScoreEvent], bytes] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each record; `encode` makes the value, without it the value is JSON."""
        for found in self.batches():
            if encode is None:
                values = (text.encode() for text in found["json"])
            else:
                columns = [found[name] for name in _DRAWN]
                values = (encode(_event(row)) for row in zip(*columns, strict=True))
            yield from zip((user_id.encode() for user_id in found["user_id"]), values, strict=True)


def _event(row: tuple[Any, ...]) -> ScoreEvent:
    user_id, team_id, team_name, score, millis, readable, event_id = row
    return ScoreEvent(user_id, team_id, team_name, score, millis, readable, "normal", event_id)


_DRAWN = ("user_id", "team_id", "team_name", "score", "event_time_millis", "readable_time", "event_id")


def fill(settings: Settings, dataset: Dataset) -> dict[int, int]:
    """Fill the dataset's topic if necessary, and return the end offset of each partition.

    Raises:
        BenchError: the topic holds something else, or Kafka did not take the events.
    """
    admin = KafkaAdmin(settings.kafka)
    if admin.describe(dataset.topic) is None:
        # the events' times are long past, and Kafka goes by the send time: kept until the stack is removed
        admin.create(dataset.topic, PARTITIONS, {"retention.ms": "-1"})
        with Draw(dataset) as source, encoder(settings, dataset.score_format) as encode:
            send(settings.kafka, dataset.topic, source.records(encode))
    ends = admin.end_offsets(dataset.topic)
    if sum(ends.values()) != dataset.events:
        raise BenchError(
            f"{dataset.topic} holds {sum(ends.values())} records and not {dataset.events}; delete the topic, run again"
        )
    return ends


@contextmanager
def encoder(settings: Settings, score_format: TopicFormat) -> Iterator[Callable[[ScoreEvent], bytes] | None]:
    """The encoder of a record's value; None for JSON, which the events contain already."""
    if score_format is TopicFormat.JSON:
        yield None
        return
    with Registry(settings.registry) as registry:
        yield score_encoder(registry, score_source(settings))


def send(kafka: KafkaConnection, topic: str, records: Iterator[tuple[bytes, bytes]]) -> int:
    """Send key and value of each record, as fast as they come; returns how many.

    Raises:
        BenchError: Kafka refused some.
    """
    refused: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(error.str())

    producer = Producer(kafka.options({**PRODUCER_SETTINGS, "on_delivery": delivered}))
    count = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    left = producer.flush(FLUSH_SECONDS)
    if left or refused:
        reason = refused[0] if refused else "no answer in time"
        raise BenchError(f"{left + len(refused)} of {count} records were not taken by {topic} ({reason}); run again")
    return count
