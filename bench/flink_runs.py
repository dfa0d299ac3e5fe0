"""Jobs over a dataset's topic, from submission to the end of the topic: the project's own and the bare scan."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from bench.dataset import Dataset
from bench.machine import cpu_of
from bench.results import BenchError
from bench.stacks import pid_of
from gamestream_dagster.catalogue.sources import Source, load_sources, source_of_event
from gamestream_dagster.catalogue.topics import Dedup
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.clients.flink_types import FlinkState, JobDetail
from gamestream_dagster.flink_jobs.execute.submission import GatewaySubmitter
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.target.render import RenderedJob
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.settings import Settings

POLL_SECONDS = 0.1
_NODE_NUMBER = re.compile(r"\[\d+\]")
T = TypeVar("T")
Bounds = Mapping[int, int] | None
"""Next offset by partition at which the job ends; None: it never ends by itself."""


@dataclass(frozen=True)
class Run:
    """One job, or several at once, from the start of the first to the end of the last."""

    events: int
    seconds: float
    cpu_seconds: float
    job_seconds: Mapping[str, float]
    busy_ms: Mapping[str, int]
    """Seconds of work of the subtasks, by job and vertex."""
    steady_per_second: float | None = None
    """Between a tenth and nine tenths of the events, by the jobs' ledgers; None: too short, or not sampled."""

    @property
    def per_second(self) -> float:
        """Events per second of wall time, until all jobs have read all events."""
        return self.events / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Events per second of the TaskManager's CPU time, including its JIT compiler and garbage collector."""
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0

    def __str__(self) -> str:
        return f"{self.events:,} events in {self.seconds:.1f} s: {self.per_second:,.0f}/s"


@dataclass(frozen=True)
class Job:
    """A job to submit."""

    name: str
    rendered: RenderedJob
    options: Mapping[str, str]


def our_job(
    settings: Settings, name: str, dataset: Dataset, bounds: Bounds, dedup: Mapping[str, Dedup] | None = None
) -> Job:
    """A job of the project with its real sinks, over the dataset's topic.

    Args:
        settings: the stack.
        name: of the job.
        dataset: what it reads.
        bounds: where it ends.
        dedup: replaces the topic's declaration; `{}`: events carry no ids.
    """
    stream = dataset.stream(settings)
    spec = over_topic(load_job(name, dedup=dedup), stream, bounds)
    target = target_for(settings, spec)
    return Job(name, target.rendered, target.options)


def over_topic(spec: JobSpec, stream: Source, bounds: Bounds) -> JobSpec:
    """The job with another source: another topic in its own encoding, and an end.

    Raises:
        BenchError: no source reads the topic of score events.
    """

    def moved(file: SqlFile) -> SqlFile:
        return SqlFile(path=file.path, text=file.text.replace(option, topic_options(stream.topic, bounds)))

    declared = source_of_event(stream.event_types[0].name, load_sources()).topic
    option = f"'topic' = '{declared}'"
    *sources, _, _ = spec.files({declared: stream.format})
    moved_sources = tuple(moved(file) for file in sources)
    if moved_sources == tuple(sources):
        raise BenchError(f"no source of {spec.name} has the option {option}; the benchmark cannot move it")
    return spec.model_copy(update={"sources": moved_sources, "avro_sources": {}})


def topic_options(topic: str, bounds: Bounds) -> str:
    """The source's options for a topic that ends at `bounds`."""
    options = f"'topic' = '{topic}'"
    if bounds is None:
        return options
    offsets = ";".join(f"partition:{partition},offset:{end}" for partition, end in sorted(bounds.items()))
    return f"{options},\n  'scan.bounded.mode' = 'specific-offsets',\n  'scan.bounded.specific-offsets' = '{offsets}'"


def scan_job(settings: Settings, dataset: Dataset, bounds: Bounds) -> Job:
    """Read and parse every record with the project's own source, and discard it."""
    job = our_job(settings, "leaderboards_v1", dataset, bounds)
    sink = (
        "CREATE TEMPORARY TABLE thrown_away (user_id STRING, team_id STRING, team_name STRING, score STRING, "
        "event_time_millis BIGINT, event_id STRING) WITH ('connector' = 'blackhole')"
    )
    statement = (
        "EXECUTE STATEMENT SET BEGIN INSERT INTO thrown_away SELECT user_id, team_id, team_name, "
        "CAST(score AS STRING), event_time_millis, event_id FROM user_score; END;"
    )
    return Job("scan", RenderedJob((job.rendered.definitions[0], sink), statement), job.options)


def run_to_end(
    settings: Settings,
    jobs: Sequence[Job],
    events: int,
    limit_seconds: float = 600.0,
    look: Callable[[], int] | None = None,
) -> Run:
    """Submit jobs one after the other, wait until all have reached the end of their topic.

    Args:
        settings: the stack.
        jobs: what to run.
        events: how many each of them reads.
        limit_seconds: for each job.
        look: returns how many events all jobs have read, for the steady rate.

    Raises:
        BenchError: a job failed, or is not done within the limit.
        SubmissionRejectedError, ServiceError: Flink does not take a job, or gives no answer.
    """
    pid = pid_of(settings, "flink-taskmanager")
    cpu = cpu_of([pid])
    samples: list[tuple[float, int]] = []

    def sample() -> None:
        if look is not None:
            samples.append((time.monotonic(), look()))

    with submitted(settings, jobs) as (flink, ids):
        ended = {job: _wait_for_end(flink, ids[job], job, limit_seconds, sample) for job in ids}
        spent = cpu_of([pid]) - cpu
    begin = min(one.started_ms for one in ended.values())
    ends = {name: one.ended_ms or one.now_ms for name, one in ended.items()}
    seconds = {name: (ends[name] - one.started_ms) / 1000 for name, one in ended.items()}
    busy = {
        f"{name} {vertex_name(at, vertex.name)}": vertex.busy_ms
        for name, one in ended.items()
        for at, vertex in enumerate(one.vertices, 1)
    }
    steady = steady_rate(samples, events)
    return Run(events, (max(ends.values()) - begin) / 1000, spent, seconds, busy, steady)


def steady_rate(samples: Sequence[tuple[float, int]], total: int) -> float | None:
    """Events per second between a tenth and nine tenths of `total`; None with fewer than three changes in between.

    Args:
        samples: seconds and events, in order. The sinks are flushed each second: only samples in which the number has
            changed tell a time.
        total: how many events there are.
    """
    changed = [now for before, now in pairwise(samples) if now[1] > before[1]]
    inner = [one for one in changed if total * 0.1 <= one[1] <= total * 0.9]
    if len(inner) < 3:
        return None
    return (inner[-1][1] - inner[0][1]) / (inner[-1][0] - inner[0][0])


def vertex_name(place: int, name: str) -> str:
    """A name that is the same in each submission: Flink numbers the nodes of all plans consecutively."""
    return f"{place}: {_NODE_NUMBER.sub('', name)}"


@contextmanager
def submitted(settings: Settings, jobs: Sequence[Job]) -> Iterator[tuple[FlinkRest, dict[str, str]]]:
    """Flink, and the ids of the jobs by name; running ones are cancelled at the end of the block."""
    gateway = SqlGateway(settings.flink_gateway, secrets=settings.secrets)
    submitter = GatewaySubmitter(gateway, settings.home / "flink" / "plans")
    ids: dict[str, str] = {}
    with FlinkRest(settings.flink_rest) as flink:
        try:
            for job in jobs:
                # a failing job must fail at once instead of retrying until the limit
                options = {**job.options, "pipeline.name": f"bench-{job.name}", "restart-strategy.type": "none"}
                ids[job.name] = submitter.submit(job.name, job.rendered, options, None)
            yield flink, ids
        finally:
            gateway.close()
            for job_id in ids.values():
                _cancel(flink, job_id)


def _wait_for_end(
    flink: FlinkRest, job_id: str, name: str, limit_seconds: float, sample: Callable[[], None]
) -> JobDetail:
    def look() -> JobDetail:
        sample()
        return flink.job(job_id)

    detail = poll(look, lambda found: found.state.ended, limit_seconds, f"{name} to end")
    if detail.state is not FlinkState.FINISHED:
        failures = flink.exceptions(job_id, 1)
        reason = failures[0].cause if failures else detail.state
        raise BenchError(f"{name} did not come to the end of its topic: {reason}; see the TaskManager's log")
    return detail


def _cancel(flink: FlinkRest, job_id: str) -> None:
    if not flink.job(job_id).state.ended:
        flink.cancel(job_id)
        poll(lambda: flink.job(job_id), lambda found: found.state.ended, 60, f"job {job_id} to be cancelled")


def poll(look: Callable[[], T], wanted: Callable[[T], bool], limit_seconds: float, what: str) -> T:
    """Poll until `wanted`.

    Raises:
        BenchError: not within the limit; `what` completes "waited ... for".
    """
    deadline = time.monotonic() + limit_seconds
    while not wanted(found := look()):
        if time.monotonic() > deadline:
            raise BenchError(f"waited {limit_seconds:.0f} s for {what}; see `gamestream status`, or take fewer events")
        time.sleep(POLL_SECONDS)
    return found
