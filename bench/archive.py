"""Measure 3, first half: writing the archive, against a consumer that discards every record."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from bench.dataset import Dataset, fill
from bench.figures import ratio, spread, spread_cells
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.settings import Settings

ARCHIVE, BARE = "archive (decoded, Parquet, fsync)", "bare consumer"
STALL_SECONDS = 30.0


@dataclass(frozen=True)
class ArchiveOptions:
    """How many events are read in a round."""

    rounds: int = 5
    events: int = 500_000
    players: int = 20_000
    seed: int = 1


@dataclass(frozen=True)
class Read:
    """One round of one contestant."""

    per_second: float
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} events/s"


def measure(settings: Settings, options: ArchiveOptions, say: Say) -> Result:
    """Both contestants in this process, over one topic."""
    dataset = Dataset(options.events, options.players, options.seed)
    ends = fill(settings, dataset)
    result = Result("archive", {"rounds": options.rounds, "events": options.events, "seed": options.seed})
    contestants = {
        ARCHIVE: lambda: _timed(options.events, lambda: _archive(settings, dataset)),
        BARE: lambda: _timed(options.events, lambda: read_bare(settings.kafka, dataset.topic, ends)),
    }
    runs = alternate(contestants, options.rounds, say)
    figures: dict[str, Any] = {
        name: {
            "per_second": spread([run.per_second for run in found]).as_dict(),
            "cpu_seconds": spread([run.cpu_seconds for run in found]).as_dict(),
        }
        for name, found in runs.items()
    }
    bare = figures[BARE]["per_second"]["median"]
    rows = [
        [name, *spread_cells(one["per_second"]), one["cpu_seconds"]["median"], ratio(one["per_second"]["median"], bare)]
        for name, one in figures.items()
    ]
    result.figures["contestants"] = figures
    result.tables = [Table("Out of Kafka", ["contestant", "events/s", "min", "max", "CPU s", f"over {BARE}"], rows)]
    result.notes.append("Each archive is written into an empty folder; it must hold all events, or the run ends.")
    return result


def _timed(events: int, work: Callable[[], int]) -> Read:
    started, cpu = time.perf_counter(), time.process_time()
    found = work()
    if found != events:
        raise BenchError(f"{found} events were read in place of {events}; no figure of this round is worth anything")
    return Read(events / (time.perf_counter() - started), time.process_time() - cpu)


def _archive(settings: Settings, dataset: Dataset) -> int:
    with tempfile.TemporaryDirectory(prefix="gamestream-") as folder:
        return archive_topic(settings.model_copy(update={"home": Path(folder)}), dataset.stream(settings)).records


def read_bare(kafka: KafkaConnection, topic: str, ends: Mapping[int, int]) -> int:
    """Read a topic to `ends` and discard everything; returns the number of records."""
    consumer = Consumer(kafka.options({"group.id": "bench-bare", "enable.auto.commit": False}))
    total, count = sum(ends.values()), 0
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        while count < total:
            batch = consumer.consume(10_000, timeout=STALL_SECONDS)
            if not batch:
                raise BenchError(f"{topic} gave nothing for {STALL_SECONDS:.0f} s; see `gamestream status`")
            count += sum(message.error() is None for message in batch)
    finally:
        consumer.close()
    return count
