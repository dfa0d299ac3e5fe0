"""Log lines per second: shipped from a file, and through the security job against reading them only."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import ratio, spread, spread_cells
from bench.flink_runs import Job, Run, run_to_end, topic_options
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.spec.job_spec import SqlFile
from gamestream_dagster.flink_jobs.target.render import RenderedJob
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.security.shipping import ship_file
from gamestream_dagster.security.simulation import LogOptions, labelled_lines
from gamestream_dagster.settings import Settings

JOB, LOGS = "security_v1", "logs"
SHIPPED, FOUND, READ = "logs ship", "security_v1", "read only"
PARTITIONS = 4
_BLACKHOLE = "CREATE TEMPORARY TABLE thrown_away (host STRING, message STRING) WITH ('connector' = 'blackhole')"


@dataclass(frozen=True)
class SecurityOptions:
    """How many lines of a simulated log."""

    rounds: int = 5
    lines: int = 400_000
    seed: int = 1


@dataclass(frozen=True)
class Sent:
    """One round of shipping."""

    per_second: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} lines/s"


def measure(settings: Settings, options: SecurityOptions, say: Say) -> Result:
    """Ship a log in each round, and let the job read one that was shipped before.

    Raises:
        BenchError: a job did not come to the end of the log, or lines are missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "auth.log"
        made = LogOptions(seed=options.seed, start_ms=int(time.time() * 1000) - 86_400_000, lines=options.lines)
        with log.open("w", encoding="utf-8") as file:
            file.writelines(f"{line.text}\n" for line in labelled_lines(made))
        with _filled(settings, log, options.lines) as (topic, ends):
            runs: dict[str, list[Sent | Run]] = alternate(
                {
                    SHIPPED: lambda: _shipped(settings, log, options.lines),
                    FOUND: lambda: run_to_end(settings, [_job(settings, topic, ends)], options.lines),
                    READ: lambda: run_to_end(settings, [_reading(settings, topic, ends)], options.lines),
                },
                options.rounds,
                say,
            )
    rates = {name: spread([one.per_second for one in found]).as_dict() for name, found in runs.items()}
    result = Result("security", {"rounds": options.rounds, "lines": options.lines, "seed": options.seed})
    result.figures["lines"] = rates
    under = rates[READ]["median"]
    rows = [[name, *spread_cells(one), ratio(one["median"], under)] for name, one in rates.items()]
    result.tables.append(Table("Log lines", ["contestant", "lines/s", "min", "max", f"over {READ}"], rows))
    result.notes.append(
        f"{READ}: the job's own format into a blackhole. {FOUND}: with its exactly-once sinks. Both from submission on."
    )
    return result


@contextmanager
def _filled(settings: Settings, log: Path, lines: int) -> Iterator[tuple[str, Mapping[int, int]]]:
    """A topic that holds the log, and where it ends."""
    admin, topic = KafkaAdmin(settings.kafka), f"bench-logs-{uuid.uuid4().hex[:8]}"
    admin.create(topic, PARTITIONS, {"message.timestamp.type": "LogAppendTime"})
    try:
        _ship(settings, log, topic, lines)
        yield topic, admin.end_offsets(topic)
    finally:
        admin.delete(topic)


def _ship(settings: Settings, log: Path, topic: str, lines: int) -> None:
    position = log.with_name(f"{topic}.position")
    sent = ship_file(settings, log, topic=topic, position=position)
    held = sum(KafkaAdmin(settings.kafka).end_offsets(topic).values())
    if not sent.lines == held == lines:
        raise BenchError(
            f"{sent.lines} of {lines} lines were shipped and {topic} holds {held}; this counts for nothing"
        )


def _shipped(settings: Settings, log: Path, lines: int) -> Sent:
    admin, topic = KafkaAdmin(settings.kafka), f"bench-logs-{uuid.uuid4().hex[:8]}"
    admin.create(topic, PARTITIONS, {"message.timestamp.type": "LogAppendTime"})
    try:
        began = time.perf_counter()
        _ship(settings, log, topic, lines)
        return Sent(lines / (time.perf_counter() - began))
    finally:
        admin.delete(topic)


def _job(settings: Settings, topic: str, ends: Mapping[int, int]) -> Job:
    """The job with its real sinks, over a topic that ends."""
    spec, option = load_job(JOB), f"'topic' = '{LOGS}'"
    sources = tuple(
        SqlFile(path=file.path, text=file.text.replace(option, topic_options(topic, ends))) for file in spec.sources
    )
    if sources == spec.sources:
        raise BenchError(f"no source of {JOB} has the option {option}; the benchmark cannot move it")
    target = target_for(settings, spec.model_copy(update={"sources": sources}))
    return Job(JOB, target.rendered, target.options)


def _reading(settings: Settings, topic: str, ends: Mapping[int, int]) -> Job:
    job = _job(settings, topic, ends)
    statement = "EXECUTE STATEMENT SET BEGIN INSERT INTO thrown_away SELECT host, message FROM log_lines; END;"
    return Job("read", RenderedJob((job.rendered.definitions[0], _BLACKHOLE), statement), job.options)
