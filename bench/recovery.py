"""Measure 6: start of the stack, and the interruption of the boards by a kill and by a savepoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from bench.dataset import START_MS
from bench.figures import spread, spread_cells
from bench.first_paint import first_paint
from bench.flink_runs import poll
from bench.load import MARKER, MARKER_TEAM, TOP, value
from bench.results import BenchError, Result, Table
from bench.rounds import Say
from bench.stacks import own_home, pid_of, provision
from gamestream_dagster.catalogue.sources import score_source
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import simulate_into
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings

JOBS = ("leaderboards_v1", "hot_streaks_v1")
KILLED = "leaderboards_v1"
LIMIT_SECONDS = 120.0
TOTAL = text("SELECT total_score FROM top_players WHERE user_id = :marker")
LOAD = "from gamestream_dagster.definitions import defs; defs()"
COLD, WARM, CODE = "stack, cold (empty home)", "stack, warm (its own data)", "code location, in a fresh process"
KILL_RUN, KILL_ROW = "TaskManager killed until all tasks run", "… until a new event's row is in Postgres"
SAVEPOINT, REDEPLOY = "stopped with savepoint until the next version runs", "… the whole redeploy command"
PAINT = "dashboard, first frame with rows"
ROUND = (KILL_RUN, KILL_ROW, SAVEPOINT, REDEPLOY, CODE)


@dataclass(frozen=True)
class RecoveryOptions:
    """Repetitions, including the starts of the whole stack."""

    rounds: int = 5
    events: int = 200_000


def measure(options: RecoveryOptions, say: Say) -> Result:
    """A stack of its own with all its servers, from nothing to the end."""
    result = Result("recovery", {"rounds": options.rounds, "events": options.events})
    found: dict[str, list[float]] = {name: [] for name in (COLD, WARM, *ROUND, PAINT)}
    for number in range(options.rounds):
        with own_home() as settings:
            try:
                found[COLD].append(_timed(COLD, lambda settings=settings: Stack(settings).up(), say))
                Stack(settings).down()
                found[WARM].append(_timed(WARM, lambda settings=settings: Stack(settings).up(), say))
                if number == options.rounds - 1:
                    _on_stack(settings, options, found, result, say)
            finally:
                Stack(settings).down(purge=True)
    measured = {name: values for name, values in found.items() if values}
    result.figures["seconds"] = {name: spread(values).as_dict() for name, values in measured.items()}
    result.tables = [_table(result.figures["seconds"])]
    result.notes += [
        f"Archives come from the local cache. After all kills the boards were reconciled: {result.figures['verdict']}.",
        "The kill is SIGKILL to the TaskManager, which the supervisor starts again; Flink notices it by the broken "
        "connection. One event is sent right after the kill, and its row is waited for.",
    ]
    return result


def _on_stack(
    settings: Settings, options: RecoveryOptions, found: dict[str, list[float]], result: Result, say: Say
) -> None:
    provision(settings)
    shape = SimulatorOptions(start_ms=START_MS, rate=5_000, events=options.events, players=20_000)
    simulate_into(settings, shape, paced=False)
    for name in JOBS:
        jobs.apply_job(settings, name, say=say)
    with open_engine(settings) as engine, ScoreProducer(settings.kafka, score_source(settings).topic) as producer:
        marker = Marker(engine, producer)
        marker.wait(marker.send())
        for number in range(options.rounds + 1):
            kill_run, kill_row = _kill(settings, marker)
            stopped, whole = _redeploy(settings)
            code = _load_code()
            say(f"{'warm-up' if number == 0 else f'round {number}'}: kill {kill_run:.1f} s, row {kill_row:.1f} s, "
                f"savepoint {stopped:.1f} s, code {code:.1f} s")  # fmt: skip
            if number:
                for name, seconds in zip(ROUND, (kill_run, kill_row, stopped, whole, code), strict=True):
                    found[name].append(seconds)
    verdict = reconcile(settings, "bracket", say=say)
    result.figures["verdict"] = str(verdict.verdict)
    if verdict.verdict is not Verdict.MATCH:
        raise BenchError(f"after the kills the boards are {verdict.verdict} ({verdict.reason}); no figure counts")
    paints = first_paint(settings.dashboard_url, options.rounds)
    if paints.reason:
        result.notes.append(f"First paint was skipped: {paints.reason}.")
    found[PAINT] += paints.seconds


@dataclass
class Marker:
    """A player at rank 1 whose total shows which of its events are in Postgres."""

    engine: Engine
    producer: ScoreProducer
    total: int = 0
    number: int = 0

    def send(self) -> int:
        """Send one more event; returns the total that shows it."""
        score = 1 if self.number else TOP
        self.number += 1
        event = value(MARKER, MARKER_TEAM, score, int(time.time() * 1000), f"recovery-{self.number}")
        self.producer.send(MARKER.encode(), event)
        self.producer.flush()
        self.total += score
        return self.total

    def wait(self, total: int) -> None:
        """Until the row shows the total."""

        def seen() -> int:
            with self.engine.connect() as database:
                return int(database.execute(TOTAL, {"marker": MARKER}).scalar() or 0)

        poll(seen, lambda found: found >= total, LIMIT_SECONDS, "the event's row in Postgres")


def _kill(settings: Settings, marker: Marker) -> tuple[float, float]:
    job_id = jobs.observe_job(settings, KILLED).flink_job_id
    if job_id is None:
        raise BenchError(f"{KILLED} does not run; check with `gamestream jobs show {KILLED}`")
    with FlinkRest(settings.flink_rest) as flink:
        os.kill(pid_of(settings, "flink-taskmanager"), signal.SIGKILL)
        started = time.monotonic()
        total = marker.send()
        poll(lambda: flink.job(job_id), lambda it: not it.all_tasks_running, LIMIT_SECONDS, "Flink to notice the kill")
        poll(lambda: flink.job(job_id), lambda it: it.all_tasks_running, LIMIT_SECONDS, f"{KILLED} to run again")
        running = time.monotonic() - started
        marker.wait(total)
        return running, time.monotonic() - started


def _redeploy(settings: Settings) -> tuple[float, float]:
    """Time without a running version between savepoint and next version, and of the whole command."""
    started = time.monotonic()
    jobs.apply_job(settings, KILLED, Choice.REDEPLOY)
    whole = time.monotonic() - started
    new, old = jobs.history(settings, KILLED, 2)
    if new.running_at is None or old.ended_at is None:
        raise BenchError(f"the deployments of {KILLED} have no times; check with `gamestream jobs history {KILLED}`")
    return (new.running_at - old.ended_at).total_seconds(), whole


def _load_code() -> float:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise BenchError(f"the definitions do not load: {done.stderr.strip()[-300:]}; try `dg check defs`")
    return time.monotonic() - started


def _timed(name: str, work: Callable[[], object], say: Say) -> float:
    started = time.monotonic()
    work()
    seconds = time.monotonic() - started
    say(f"{name}: {seconds:.1f} s")
    return seconds


def _table(found: Mapping[str, Mapping[str, float]]) -> Table:
    rows: Sequence[list[Any]] = [[name, *spread_cells(one), one["rounds"]] for name, one in found.items()]
    return Table("Seconds", ["what", "median", "min", "max", "times"], rows)
