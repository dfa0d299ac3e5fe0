"""Measure 9: events per second over HTTP against the bare producer, and through the intake job against a bare scan."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from bench.dataset import send
from bench.figures import ratio, spread, spread_cells
from bench.flink_runs import Bounds, Job, Run, poll, run_to_end, topic_options
from bench.intake_outage import OutageOptions, outage_of, outage_table
from bench.intake_waits import WaitOptions, waits_of
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.cli.keys import key_for_now
from gamestream_dagster.clients.ingest_api import IngestApi
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.events.game_play import GameRecord, play
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.target.render import RenderedJob
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.settings import Settings

HTTP, PRODUCER = "HTTP, batches of 100", "bare producer"
INTAKE, JUDGED, SCAN = "event_intake_v1", "parse and judge only", "scan and parse only"
JOB, ENRICHED = "event_intake_v1", "game-events-enriched"
BOARDS, SCORES, LATEST = "leaderboards_v1", "user-score", "latest-offset"
BATCH, CONNECTIONS, PARTITIONS = 100, 4, 4
READY_SECONDS = 60.0
_RUNS = count()
_BLACKHOLE = "CREATE TEMPORARY TABLE thrown_away (event_id STRING, digest STRING) WITH ('connector' = 'blackhole')"


@dataclass(frozen=True)
class IntakeOptions:
    """How many events each contestant of a round sends over HTTP, or the job reads."""

    rounds: int = 5
    http_events: int = 50_000
    events: int = 400_000
    players: int = 20_000
    seed: int = 1
    waits: WaitOptions = field(default_factory=WaitOptions)
    outage: OutageOptions = field(default_factory=OutageOptions)


@dataclass(frozen=True)
class Sent:
    """One round of one contestant."""

    per_second: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} events/s"


def measure(settings: Settings, options: IntakeOptions, say: Say) -> Result:
    """Over HTTP, through the job, and how long an event takes from its HTTP answer to a reader."""
    shown = {"rounds": options.rounds, "events": options.events, "http events": options.http_events}
    result = Result("intake", {**shown, "players": options.players, "seed": options.seed})
    poll(lambda: _status(settings), lambda status: status == httpx.codes.OK, READY_SECONDS, "the HTTP API to be ready")
    with key_for_now(settings, "bench") as key:
        http = {
            HTTP: lambda: _over_http(settings, key, options),
            PRODUCER: lambda: _by_producer(settings, options),
        }
        result.figures["http"] = _rates(alternate(http, options.rounds, say))
    with filled_topic(settings, options) as (topic, ends):
        jobs = {
            INTAKE: lambda: _intake(settings, topic, ends, options.events),
            JUDGED: lambda: run_to_end(settings, [judged_job(settings, topic, ends)], options.events),
            SCAN: lambda: run_to_end(settings, [scan_job(settings, topic, ends)], options.events),
        }
        result.figures["job"] = _rates(alternate(jobs, options.rounds, say))
    live = [our_job(settings, start=LATEST), boards_job(settings)]
    result.figures["waits"] = waits_of(settings, options.waits, live, say)
    result.figures["outage"] = outage_of(settings, options.outage, say)
    result.tables = [
        _table("Over HTTP", result.figures["http"], PRODUCER),
        _table("Through the job", result.figures["job"], SCAN),
        _waits_table(result.figures["waits"]),
        outage_table(result.figures["outage"]),
    ]
    result.notes += [
        f"HTTP: {CONNECTIONS} connections; every event was accepted, and the topic has grown by as many records.",
        f"{SCAN}: Flink's `json` format, the envelope's fields as texts, into a blackhole. {JUDGED}: our format into a "
        f"blackhole. {INTAKE}: with its exactly-once sinks; every event is in {ENRICHED} after each round.",
        "Waits: from the HTTP answer to a read_committed reader of that topic, and to the row of `top_players` in "
        "Postgres. Beside a flooding key, which another process sends with: of another key.",
        "Kafka stopped: the sender repeats what has no verdict, with its ids; every acknowledged event was in the "
        "topic afterwards.",
    ]
    return result


def _status(settings: Settings) -> int:
    """0 while there is no answer."""
    try:
        return httpx.get(f"{settings.ingest_url}/readyz", timeout=5, trust_env=False).status_code
    except httpx.TransportError:
        return 0


def records(options: IntakeOptions, events: int) -> list[GameRecord]:
    """Events with ids that no earlier round has used."""
    shape = SimulatorOptions(
        seed=options.seed + next(_RUNS), start_ms=int(time.time() * 1000), rate=20_000, events=events,
        players=options.players,
    )  # fmt: skip
    return list(play(shape))


def batches(events: Sequence[GameRecord], connections: int, size: int = BATCH) -> list[list[list[bytes]]]:
    """The batches of each connection, of the same size but for the last one."""
    made = [[one.value for one in events[at : at + size]] for at in range(0, len(events), size)]
    return [made[first::connections] for first in range(connections)]


def _over_http(settings: Settings, key: str, options: IntakeOptions) -> Sent:
    lots = batches(records(options, options.http_events), CONNECTIONS)

    def post(lot: list[list[bytes]]) -> int:
        with IngestApi(settings.ingest_url, key) as api:
            return sum(one.verdict == "accepted" for batch in lot for one in api.send(batch).verdicts)

    with _grown_by(settings, RAW_TOPIC, options.http_events), ThreadPoolExecutor(CONNECTIONS) as pool:
        began = time.perf_counter()
        accepted = sum(pool.map(post, lots))
        seconds = time.perf_counter() - began
    if accepted != options.http_events:
        raise BenchError(f"{accepted} of {options.http_events} events were accepted; run again on a quiet machine")
    return Sent(accepted / seconds)


def _by_producer(settings: Settings, options: IntakeOptions) -> Sent:
    ready = [(one.origin.key, one.value) for one in records(options, options.http_events)]
    with _grown_by(settings, RAW_TOPIC, options.http_events):
        began = time.perf_counter()
        sent = send(settings.kafka, RAW_TOPIC, iter(ready))
        return Sent(sent / (time.perf_counter() - began))


@contextmanager
def _grown_by(settings: Settings, topic: str, events: int) -> Iterator[None]:
    admin = KafkaAdmin(settings.kafka)
    before = sum(admin.end_offsets(topic).values())
    yield
    grown = sum(admin.end_offsets(topic).values()) - before
    if grown != events:
        raise BenchError(f"{topic} has grown by {grown} records in place of {events}; this round counts for nothing")


@contextmanager
def filled_topic(settings: Settings, options: IntakeOptions) -> Iterator[tuple[str, Mapping[int, int]]]:
    """A topic of game events, and where it ends."""
    admin, topic = KafkaAdmin(settings.kafka), f"bench-game-events-{uuid.uuid4().hex[:8]}"
    admin.create(topic, PARTITIONS, {"message.timestamp.type": "LogAppendTime"})
    try:
        send(settings.kafka, topic, ((one.origin.key, one.value) for one in records(options, options.events)))
        yield topic, admin.end_offsets(topic)
    finally:
        admin.delete(topic)


def our_job(settings: Settings, topic: str = RAW_TOPIC, ends: Bounds = None, *, start: str = "earliest-offset") -> Job:
    """The intake job with its real sinks, over another topic or from another start."""
    target = target_for(settings, over(load_job(JOB), topic, ends, start))
    return Job(JOB, target.rendered, target.options)


def boards_job(settings: Settings) -> Job:
    """The boards with their real sinks, from the end of their topic on."""
    target = target_for(settings, over(load_job(BOARDS), SCORES, None, LATEST, declared=SCORES))
    return Job(BOARDS, target.rendered, target.options)


def over(
    spec: JobSpec, topic: str, ends: Bounds, start: str = "earliest-offset", *, declared: str = RAW_TOPIC
) -> JobSpec:
    """The job with another topic, start and end.

    Raises:
        BenchError: no source reads the topic `declared` from its beginning.
    """
    options = {f"'topic' = '{declared}'": topic_options(topic, ends), "'earliest-offset'": f"'{start}'"}
    text = "".join(one.text for one in spec.sources)
    if missing := [option for option in options if option not in text]:
        raise BenchError(f"no source of {spec.name} has the option {missing[0]}; the benchmark cannot move it")

    def moved(file: SqlFile) -> SqlFile:
        made = file.text
        for option, other in options.items():
            made = made.replace(option, other)
        return SqlFile(path=file.path, text=made)

    return spec.model_copy(update={"sources": tuple(moved(one) for one in spec.sources)})


def judged_job(settings: Settings, topic: str, ends: Bounds) -> Job:
    """Read and judge every record with the project's own source, and discard it."""
    job = our_job(settings, topic, ends)
    statement = (
        "EXECUTE STATEMENT SET BEGIN INSERT INTO thrown_away SELECT event_id, digest FROM game_events_raw "
        "WHERE reason IS NULL; END;"
    )
    return Job("judged", RenderedJob((job.rendered.definitions[0], _BLACKHOLE), statement), job.options)


def scan_job(settings: Settings, topic: str, ends: Bounds) -> Job:
    """Read and parse every record with Flink's own JSON format, and discard it."""
    fields = ("event_id", "user_id", "session_id", "event_type", "event_time", "platform", "properties")
    columns = ", ".join(f"{name} STRING" for name in fields)
    source = (
        f"CREATE TEMPORARY TABLE scanned ({columns}) WITH ('connector' = 'kafka', {topic_options(topic, ends)}, "
        f"'properties.bootstrap.servers' = '{settings.kafka}', 'properties.group.id' = 'bench-scan', "
        "'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true')"
    )
    statement = (
        "EXECUTE STATEMENT SET BEGIN INSERT INTO thrown_away SELECT event_id, event_time || platform || properties "
        "FROM scanned WHERE user_id IS NOT NULL AND session_id IS NOT NULL AND event_type IS NOT NULL; END;"
    )
    return Job("scan", RenderedJob((source, _BLACKHOLE), statement), our_job(settings).options)


def _intake(settings: Settings, topic: str, ends: Bounds, events: int) -> Run:
    admin = KafkaAdmin(settings.kafka)
    before = admin.end_offsets(ENRICHED)
    run = run_to_end(settings, [our_job(settings, topic, ends)], events)
    after = admin.end_offsets(ENRICHED, read_committed=True)
    found = sum(len(chunk.raw) for chunk in read_range(settings.kafka, ENRICHED, before, after))
    if found != events:
        raise BenchError(f"{found} of {events} events are in {ENRICHED}; this round counts for nothing")
    return run


def _rates(runs: Mapping[str, Sequence[Sent | Run]]) -> dict[str, Any]:
    return {name: spread([one.per_second for one in found]).as_dict() for name, found in runs.items()}


def _table(title: str, rates: Mapping[str, Any], base: str) -> Table:
    under = rates[base]["median"]
    rows = [[name, *spread_cells(one), ratio(one["median"], under)] for name, one in rates.items()]
    return Table(title, ["contestant", "events/s", "min", "max", f"over {base}"], rows)


def _waits_table(waits: Mapping[str, Any]) -> Table:
    rows = [[name, one["p50"], one["p95"], one["p99"], one["longest"], one["count"]] for name, one in waits.items()]
    return Table("Waits, milliseconds", ["what", "p50", "p95", "p99", "longest", "events"], rows)
