"""Measure 5: records per second into Kafka, by the simulator, the replay and Kafka's own producer test."""

from __future__ import annotations

import re
import resource
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataset import PARTITIONS, START_MS, Dataset, Draw, send
from bench.figures import ratio, spread, spread_cells
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.events.feed import replay_into, simulate_into
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.platform import kafka
from gamestream_dagster.settings import Settings

SIMULATOR, REPLAY, READY, PERF_TEST = "simulator", "replay of a file", "ready-made bytes", "kafka-producer-perf-test"
PERF_CLASS = "org.apache.kafka.tools.ProducerPerformance"
LIMIT_SECONDS = 300
# Broker settings of all contestants.
_SAME = ("acks", "enable.idempotence", "compression.type", "linger.ms")
_PERF_LINE = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec", re.MULTILINE)


@dataclass(frozen=True)
class ProduceOptions:
    """How many records each contestant sends in a round."""

    rounds: int = 5
    events: int = 300_000
    players: int = 20_000
    seed: int = 1


@dataclass(frozen=True)
class Produced:
    """One round of one contestant."""

    per_second: float
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} records/s"


def measure(settings: Settings, options: ProduceOptions, say: Say) -> Result:
    """All contestants with the same broker settings; each round into a topic of its own."""
    shown = {"rounds": options.rounds, "records": options.events, "players": options.players, "seed": options.seed}
    result = Result("produce", shown)
    dataset = Dataset(options.events, options.players, options.seed)
    with tempfile.TemporaryDirectory(prefix="gamestream-") as folder:
        file = Path(folder) / "events.jsonl"
        records = _write(dataset, file)
        with Draw(dataset) as source:
            ready = list(source.records())
        contestants = {
            SIMULATOR: lambda: _simulate(settings, options),
            REPLAY: lambda: _in_process(settings, options, lambda topic: _replay(settings, file, topic)),
            READY: lambda: _in_process(settings, options, lambda topic: send(settings.kafka, topic, iter(ready))),
            PERF_TEST: lambda: _perf_test(settings, options, file),
        }
        runs = alternate(contestants, options.rounds, say)
    result.options["bytes a record"] = records
    result.figures["contestants"] = {name: _figures(found) for name, found in runs.items()}
    result.tables = [_table(result.figures["contestants"])]
    result.notes += [
        f"All with {', '.join(f'{name}={_plain(name)}' for name in _SAME)}; end offsets were counted after each round.",
        f"{PERF_TEST} sends lines of the same file without keys; its rate is the one it prints, its JVM's start left "
        "out. The others make or read their events as they go, in one Python process.",
    ]
    return result


def _write(dataset: Dataset, file: Path) -> int:
    """The dataset as JSON lines; returns the mean length of one."""
    with Draw(dataset) as source, file.open("wb") as out:
        for _, value in source.records():
            out.write(value + b"\n")
    return file.stat().st_size // dataset.events


def _simulate(settings: Settings, options: ProduceOptions) -> Produced:
    shape = SimulatorOptions(
        seed=options.seed, start_ms=START_MS, rate=20_000, events=options.events, players=options.players
    )
    return _in_process(settings, options, lambda topic: simulate_into(settings, shape, paced=False, topic=topic).sent)


def _replay(settings: Settings, file: Path, topic: str) -> int:
    return replay_into(settings, file, topic=topic, rejects=file.with_name("rejects.jsonl")).sent


def _in_process(settings: Settings, options: ProduceOptions, work: Callable[[str], int]) -> Produced:
    with _topic(settings, options.events) as topic:
        started, cpu = time.perf_counter(), time.process_time()
        sent = work(topic)
        return Produced(sent / (time.perf_counter() - started), time.process_time() - cpu)


def _perf_test(settings: Settings, options: ProduceOptions, file: Path) -> Produced:
    with _topic(settings, options.events) as topic:
        same = [f"{name}={_plain(name)}" for name in _SAME]
        command = kafka.tool(
            settings, PERF_CLASS, "--topic", topic, "--num-records", str(options.events), "--throughput", "-1",
            "--payload-file", str(file), "--producer-props", f"bootstrap.servers={settings.kafka}", *same,
        )  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise BenchError(f"{PERF_CLASS} failed: {(done.stderr or done.stdout).strip()[-300:]}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Produced(rate_printed(done.stdout, options.events), cpu)


def rate_printed(text: str, records: int) -> float:
    """Records per second from the last line of Kafka's producer test.

    Raises:
        BenchError: the line is missing, or counts another number of records.
    """
    found = _PERF_LINE.findall(text)
    if not found or int(found[-1][0]) != records:
        raise BenchError(f"{PERF_CLASS} did not say that it sent {records} records: {text.strip()[-200:]!r}")
    return float(found[-1][1])


@contextmanager
def _topic(settings: Settings, records: int) -> Iterator[str]:
    """A topic for one round, which must hold as many records afterwards."""
    admin, topic = KafkaAdmin(settings.kafka), f"bench-produce-{uuid.uuid4().hex[:8]}"
    admin.create(topic, PARTITIONS)
    try:
        yield topic
        found = sum(admin.end_offsets(topic).values())
        if found != records:
            raise BenchError(
                f"{found} records arrived in place of {records}; no figure of this round is worth anything"
            )
    finally:
        admin.delete(topic)


def _plain(name: str) -> str:
    value = PRODUCER_SETTINGS[name]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _figures(runs: Sequence[Produced]) -> dict[str, Any]:
    return {
        "per_second": spread([run.per_second for run in runs]).as_dict(),
        "cpu_seconds": spread([run.cpu_seconds for run in runs]).as_dict(),
    }


def _table(found: dict[str, Any]) -> Table:
    best = found[PERF_TEST]["per_second"]["median"]
    rows = [
        [name, *spread_cells(one["per_second"]), one["cpu_seconds"]["median"], ratio(one["per_second"]["median"], best)]
        for name, one in found.items()
    ]
    return Table("Records into Kafka", ["contestant", "records/s", "min", "max", "CPU s", f"over {PERF_TEST}"], rows)
