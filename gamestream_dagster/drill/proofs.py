"""Faults around the proofs: one is killed while its jobs stand still, a group is asked for before its coordinator is
there, and a producer's clock is ahead.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

import orjson
from confluent_kafka import Producer

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.site import Site
from gamestream_dagster.drill.struck import Struck
from gamestream_dagster.drill.witness import Mark
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.reconciliation.observe.sinks import newest_window, read_tables

AHEAD_SECONDS = 3000.0
_PROOF_SECONDS = 300.0
_TICKS_SECONDS = 60.0
_ASKED_SECONDS = 90.0
_MOVED_MILLIS = 15_000
_FLUSH_SECONDS = 20.0
_QUICK = 0.02
_POLL_SECONDS = 0.5

_RECONCILE = "from gamestream_dagster.cli.main import main; main()"
_ASK = (
    "import sys; from gamestream_dagster.clients.errors import ServiceError\n"
    "from gamestream_dagster.clients.kafka_admin import KafkaAdmin\n"
    "from gamestream_dagster.connections import KafkaConnection\n"
    "try: KafkaAdmin(KafkaConnection(sys.argv[1]), 5).committed(sys.argv[2], sys.argv[3])\n"
    "except ServiceError: sys.exit(1)"
)


@contextmanager
def kill_proof(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """SIGKILL a reconciliation in savepoint mode once it has stopped every job."""
    home = ["--home", str(site.settings.home), "--port-base", str(site.settings.port_base)]
    command = [sys.executable, "-c", _RECONCILE, "reconcile", "--mode", "savepoint", *home]
    began = time.time()
    with TemporaryFile() as told:
        proof = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        try:
            _wait_stopped(site, proof, told)
        finally:
            with suppress(ProcessLookupError):
                os.kill(proof.pid, signal.SIGKILL)
            proof.wait()
    at = time.time()
    site.say("killed the proof; its jobs are stopped")
    yield Struck(at, at, ("a reconciliation was killed while its jobs were stopped",), began=began)


def _wait_stopped(site: Site, proof: subprocess.Popen[bytes], told: IO[bytes]) -> None:
    deadline = time.monotonic() + _PROOF_SECONDS
    with open_engine(site.settings) as engine:
        store = PostgresDeploymentStore(engine)
        while time.monotonic() < deadline and proof.poll() is None:
            found = [store.last(job) for job in site.jobs]
            if all(one and one.stands_still and one.state is DeploymentState.SUSPENDED for one in found):
                return
            time.sleep(_QUICK)
    slow = f"had not stopped its jobs after {_PROOF_SECONDS:.0f} s"
    happened = slow if proof.poll() is None else "ended before it could be killed with its jobs stopped"
    told.seek(0)
    lines = told.read().decode(errors="replace").strip().splitlines()
    last = f"; the last it said: {lines[-1].strip()}" if lines else ""
    raise DrillError(f"the proof {happened}{last}; start the scenario again")


@contextmanager
def ask_at_once(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """SIGKILL the broker and ask for a group's offsets, from processes that may die of it, until it answers."""
    at, pid, asked = time.time(), site.kill("kafka"), 0
    deadline, broken = time.monotonic() + _ASKED_SECONDS, list[str]()
    while time.monotonic() < deadline:
        asked += 1
        command = [sys.executable, "-c", _ASK, site.settings.kafka.bootstrap, f"nobody-{at}-{asked}", site.source.topic]
        ended = subprocess.run(command, check=False, capture_output=True)
        if ended.returncode < 0:
            broken.append(f"asking for the offsets of a group ended a process with signal {-ended.returncode}")
        if ended.returncode == 0 or broken:
            break
    else:
        broken.append(f"the offsets of a group could not be read for {_ASKED_SECONDS:.0f} s")
    back = site.wait_service("kafka", pid)
    notes = (f"kafka answered again after {back - at:.1f} s", f"asked {asked} times for a group that nobody had used")
    yield Struck(at, back, notes, tuple(broken))


@contextmanager
def fast_clock(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """A producer whose clock is 50 minutes ahead sends an event to each partition; no board may stand still.

    The others' clocks are right: events whose times the pauses of the drill had left behind would be late.
    """
    site.crowd.catch_up()
    boards = [board for board in load_boards(season=site.settings.season).values() if board.window is not None]
    at = time.time()
    site.crowd.others += _send_ahead(site, at)
    behind = _wait_moved(site, boards)
    broken = tuple(
        f"{name} stood still for {_TICKS_SECONDS:.0f} s after an event from a time to come" for name in behind
    )
    yield Struck(at, at, ("one event in each partition carried a time 50 minutes ahead",), broken)


def _send_ahead(site: Site, now: float) -> int:
    """The number of events sent."""
    millis, topic = int((now + AHEAD_SECONDS) * 1000), site.source.topic
    producer = Producer(site.settings.kafka.options())
    partitions = KafkaAdmin(site.settings.kafka).end_offsets(topic)
    for partition in partitions:
        player = f"ahead-{partition}"
        value = {"user_id": player, "team_id": "ahead", "team_name": "Ahead", "score": 1, "event_time_millis": millis}
        value |= {"event_id": f"ahead-{millis}-{partition}"}
        producer.produce(topic, orjson.dumps(value), player.encode(), partition=partition, timestamp=millis)
    if producer.flush(_FLUSH_SECONDS):
        raise DrillError("the events of the fast producer could not be delivered; see `gamestream status`")
    return len(partitions)


def _wait_moved(site: Site, boards: list[Board]) -> list[str]:
    """The boards that show no window that is some ticks later, within the limit."""
    first, deadline = _windows(site, boards), time.monotonic() + _TICKS_SECONDS
    while True:
        now = _windows(site, boards)
        behind = [name for name, as_of in first.items() if (now[name] or 0) < (as_of or 0) + _MOVED_MILLIS]
        if not behind or time.monotonic() > deadline:
            return behind
        time.sleep(_POLL_SECONDS)


def _windows(site: Site, boards: list[Board]) -> dict[str, int | None]:
    with open_engine(site.settings) as engine:
        rows = read_tables(engine, boards)
    return {board.name: newest_window(board, rows[board.name])[0] for board in boards}
