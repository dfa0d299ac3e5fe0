"""Measure 2: how long from the time at which an event is due until its row is seen, under a steady load."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench import gate
from bench.dataset import PARTITIONS, Dataset
from bench.dataset import send as send_all
from bench.figures import Quantiles, spread
from bench.flink_runs import Job, our_job, poll, submitted
from bench.load import MARKER, MARKER_TEAM, TOP, Load, Sent, value
from bench.machine import spending
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from bench.sightings import HOT, POSTGRES, Sightings, waits, watching
from bench.stacks import pid_of
from bench.streaming import JOBS
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.settings import Settings, StreamProfile

SETTLE_SECONDS = 60.0
DEPLOY_SECONDS = 180.0
MARKER_MS = 50
LAST_TICK_MS = 10_500
"""No tick is later than a slice of 5 s before the watermark, which is 5 s behind the last event."""
LEAD_SECONDS = 6.0
"""Sent before a segment counts: from then on the ticks of hot streaks are those of its own rate."""


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """A segment of `seconds` for each contestant, round and rate.

    After each deployment `warm_up_seconds` at the greatest rate are thrown away: fresh code is compiled then,
    on the cores that the jobs need, and a stream runs for weeks.
    """

    rounds: int = 5
    rates: tuple[int, ...] = (1_000, 5_000, 20_000)
    seconds: float = 5.0
    players: int = 20_000
    seed: int = 1
    warm_up_seconds: float = 40.0


@dataclass(frozen=True)
class Deployed:
    """What runs while latency is measured."""

    profile: StreamProfile
    jobs: Sequence[str]

    @property
    def title(self) -> str:
        """For tables."""
        alone = "" if self.jobs == JOBS else f", {', '.join(self.jobs)} alone"
        return f"{self.profile}{alone}"


CONTESTANTS = (
    Deployed(StreamProfile.DEFAULT, JOBS),
    Deployed(StreamProfile.LOW_LATENCY, JOBS),
    # what the ticks of hot streaks cost the boards beside them
    Deployed(StreamProfile.LOW_LATENCY, JOBS[:1]),
)


@dataclass(frozen=True)
class Segment:
    """One rate for some seconds: waits in milliseconds by observer."""

    deployed: str
    rate: int
    waits: dict[str, list[float]]
    behind_ms: float
    cpu_share: float
    """CPU seconds of the TaskManager per second."""


@dataclass(frozen=True)
class Turn:
    """One deployment of a contestant: a segment for each rate."""

    segments: Sequence[Segment]

    def __str__(self) -> str:
        shown = (f"{one.rate:,}/s {Quantiles.of(one.waits[POSTGRES]).p99:.0f} ms" for one in self.segments)
        return f"p99 in Postgres: {', '.join(shown)}"


def measure(settings: Settings, options: LatencyOptions, say: Say) -> Result:
    """The contestants in turn, each deployed anew in each round; in a turn one rate after the other."""
    result = Result(
        "latency",
        {
            "rounds": options.rounds,
            "seconds a segment": options.seconds,
            "seconds of warm-up": options.warm_up_seconds,
            "seed": options.seed,
        },
    )
    contestants = {
        deployed.title: lambda deployed=deployed: _turn(settings, deployed, options, say) for deployed in CONTESTANTS
    }
    turns = alternate(contestants, options.rounds, say)
    cases = [
        _case([one for turn in found for one in turn.segments if one.rate == rate])
        for found in turns.values()
        for rate in options.rates
    ]
    result.figures["cases"] = cases
    result.tables = [_table(cases)]
    result.notes += [
        f"A marker each {MARKER_MS} ms among events of {options.players:,} players; each counts from when it "
        "was due, whatever the generator or Kafka made of it. Percentiles are of all rounds together, "
        "the range is that of the rounds' own p99.",
        "The contestants take turns: each is deployed anew in each round, and warmed up at the greatest rate. "
        f"Before each segment its load runs for {LEAD_SECONDS:g} s uncounted, so that hot streaks tick at its rate.",
        "Hot streaks count from the end of their tick; 5 s of watermark delay are part of it by definition.",
    ]
    return result


def _turn(settings: Settings, deployed: Deployed, options: LatencyOptions, say: Say) -> Turn:
    say(f"{deployed.title}: deploy {', '.join(deployed.jobs)}")
    tuned = settings.model_copy(update={"stream_profile": deployed.profile})
    with _running(tuned, deployed) as topic:
        return Turn(_segments(tuned, deployed, topic, options))


@contextmanager
def _running(settings: Settings, deployed: Deployed) -> Iterator[str]:
    """The jobs on a topic of their own."""
    admin, topic = KafkaAdmin(settings.kafka), f"bench-latency-{uuid.uuid4().hex[:8]}"
    admin.create(topic, PARTITIONS)
    jobs = [_over(job, topic) for job in (our_job(settings, name, _NOTHING, None) for name in deployed.jobs)]
    gate.clear(settings)
    try:
        with submitted(settings, jobs) as (flink, ids):
            for name, job_id in ids.items():
                poll(lambda job_id=job_id: flink.job(job_id), lambda it: it.all_tasks_running, DEPLOY_SECONDS, name)
            yield topic
    finally:
        admin.delete(topic)


_NOTHING = Dataset(events=0, players=1)


def _over(job: Job, topic: str) -> Job:
    old = f"'topic' = '{_NOTHING.topic}'"
    definitions = tuple(text.replace(old, f"'topic' = '{topic}'") for text in job.rendered.definitions)
    return replace(job, rendered=replace(job.rendered, definitions=definitions))


def _segments(settings: Settings, deployed: Deployed, topic: str, options: LatencyOptions) -> list[Segment]:
    found: list[Segment] = []
    with watching(settings) as seen:
        first = value(MARKER, MARKER_TEAM, TOP, 0, "first")
        send_all(settings.kafka, topic, iter([(MARKER.encode(), first)]))
        # seen as 0: wait by the board itself
        shown = {name: one for name, one in seen.items() if name != HOT}
        poll(lambda: all(one.values for one in shown.values()), bool, DEPLOY_SECONDS, "the first marker to be seen")
        number = 1
        warm_up = (max(options.rates), options.warm_up_seconds)
        for rate, seconds in (warm_up, *((rate, options.seconds) for rate in options.rates)):
            load = Load(
                settings.kafka.bootstrap,
                topic,
                rate,
                LEAD_SECONDS + seconds,
                options.players,
                options.seed,
                number,
                MARKER_MS,
            )
            segment, count = _segment(settings, deployed, load, seen)
            number += count
            found.append(segment)
    return found[1:]


def _segment(settings: Settings, deployed: Deployed, load: Load, seen: dict[str, Sightings]) -> tuple[Segment, int]:
    rate, number = load.rate, load.first
    with spending([pid_of(settings, "flink-taskmanager")]) as spent:
        sent = _send(load)
    last = number + len(sent.due_ms) - 1
    lead = int(LEAD_SECONDS * 1000 / MARKER_MS)
    boards = {name: one for name, one in seen.items() if name != HOT}
    poll(lambda: min(one.newest for one in boards.values()), lambda it: it >= last, SETTLE_SECONDS, "the last marker")
    found = {name: waits(sent.due_ms, number, one)[lead:] for name, one in boards.items()}
    hot = seen[HOT]
    if deployed.jobs == JOBS:
        # or the next rate would begin with what this one left undone
        tick = sent.due_ms[-1] - LAST_TICK_MS
        poll(lambda: hot.newest, lambda it: it >= tick, SETTLE_SECONDS, "the last tick of hot streaks")
    counts_from = sent.due_ms[lead]
    found[HOT] = [at - tick for tick, at in zip(hot.values, hot.at_ms, strict=False) if at > counts_from and tick > 0]
    segment = Segment(deployed.title, rate, found, sent.behind_ms, spent.cpu / spent.seconds)
    return segment, len(sent.due_ms)


def _send(load: Load) -> Sent:
    command = [sys.executable, "-m", "bench.load", load.as_json()]
    limit = load.seconds + 150
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise BenchError(f"the load generator failed: {done.stderr.strip()[-300:]}; see `gamestream status`")
    return Sent(**json.loads(done.stdout))


def _case(segments: Sequence[Segment]) -> dict[str, Any]:
    observers: dict[str, Any] = {}
    for name in segments[0].waits:
        everything = [wait for one in segments for wait in one.waits[name]]
        if everything:
            p99 = spread([Quantiles.of(one.waits[name]).p99 for one in segments if one.waits[name]])
            observers[name] = {**Quantiles.of(everything).as_dict(), "p99_of_rounds": p99.as_dict()}
    return {
        "profile": segments[0].deployed,
        "rate": segments[0].rate,
        "observers": observers,
        "generator_behind_ms": round(max(one.behind_ms for one in segments), 1),
        "taskmanager_cpu": round(spread([one.cpu_share for one in segments]).median, 2),
    }


def _table(cases: Sequence[dict[str, Any]]) -> Table:
    columns = ["profile", "events/s", "seen in", "p50 ms", "p95 ms", "p99 ms", "longest", "p99 of rounds", "TM cores"]
    rows = [
        [
            case["profile"],
            case["rate"],
            name,
            found["p50"],
            found["p95"],
            found["p99"],
            found["longest"],
            f"{found['p99_of_rounds']['min']:.0f} – {found['p99_of_rounds']['max']:.0f}",
            case["taskmanager_cpu"],
        ]
        for case in cases
        for name, found in case["observers"].items()
    ]
    return Table("From due to seen", columns, rows)
