"""Measure 7: the jobs' state after a number of events, by number of players: checkpoint, duration, heap."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import gate
from bench.dataset import Dataset, fill
from bench.figures import short, spread, spread_cells
from bench.flink_runs import our_job, poll, submitted, vertex_name
from bench.live_heap import live_heap_bytes
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from bench.stacks import pid_of
from bench.streaming import JOBS
from gamestream_dagster.catalogue.topics import Dedup
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.settings import Settings

CHECKPOINTS = 5
VERTEX_WIDTH = 90
# A catch-up reads in seconds the ids of minutes, and all of them are held here.
HEAP_MIB = 8192
LIMIT_SECONDS, LEAST_PER_SECOND, RESTART_SECONDS = 300.0, 5_000, 90.0


@dataclass(frozen=True)
class StateOptions:
    """Numbers of players, the main one first, which also has a case with event ids."""

    rounds: int = 5
    events: int = 600_000
    players: tuple[int, ...] = (20_000, 1_000, 200_000)
    seed: int = 1
    rate: int = 10_000
    """Events per second of event time: hot streaks hold those of a minute."""


@dataclass(frozen=True)
class Held:
    """One job after it has read everything: bytes in total and by vertex, milliseconds of each checkpoint."""

    state_bytes: int
    by_vertex: Mapping[str, int]
    durations_ms: Sequence[int]


@dataclass(frozen=True)
class Filled:
    """Both jobs, side by side, after they have read everything."""

    jobs: Mapping[str, Held]
    heap_bytes: int

    def __str__(self) -> str:
        state = sum(one.state_bytes for one in self.jobs.values())
        return f"{state / 2**20:.1f} MiB of state, live heap {self.heap_bytes / 2**20:.0f} MiB"


def measure(settings: Settings, options: StateOptions, say: Say) -> Result:
    """In turn: each number of players without ids (the cost of a player), the main one with ids (the cost of an id)."""
    shown = {"rounds": options.rounds, "events": options.events, "events per second of event time": options.rate}
    result = Result("state", {**shown, "seed": options.seed})
    contestants: dict[tuple[int, bool], Callable[[], Filled]] = {}
    for players, ids in [*((players, False) for players in sorted(options.players)), (options.players[0], True)]:
        dataset = Dataset(options.events, players, options.seed, rate=options.rate)
        contestants[players, ids] = lambda dataset=dataset, ids=ids: _fill(settings, dataset, None if ids else {})
    named = {_title(*case): run for case, run in contestants.items()}
    # nothing is discarded: a size does not depend on compiled code
    rounds = alternate(named, options.rounds, say, warm_up=False)
    cases = [_case(*case, rounds[_title(*case)]) for case in contestants]
    result.figures["cases"] = cases
    result.figures["bytes_a_player"] = _slopes(cases)
    result.tables = [_table(cases), _players_table(result.figures["bytes_a_player"])]
    result.notes += [
        f"Both jobs run side by side and have read all events; in each round {CHECKPOINTS} checkpoints. The heap is "
        f"what a full collection leaves of the TaskManager's ({settings.taskmanager_heap_mib:,} MiB at most), Flink's "
        "own objects included.",
        "Each case has a TaskManager of its own: Flink keeps what the last cancelled job held until another takes its "
        "place.",
        "Ids are held for the topic's horizon by the job's own clock: in a catch-up all of them.",
        "Bytes a player are the difference between the greatest and the least number of players, over that of players.",
    ]
    return result


def _title(players: int, ids: bool) -> str:
    return f"{players:,} players, {'with' if ids else 'without'} ids"


def _fill(settings: Settings, dataset: Dataset, ids: Mapping[str, Dedup] | None) -> Filled:
    ends = fill(settings, dataset)
    gate.clear(settings)
    _fresh_task_manager(settings)
    jobs = [our_job(settings, name, dataset, None, ids) for name in JOBS]
    with submitted(settings, jobs) as (flink, job_ids), gate.progress(settings, JOBS) as read:
        limit = LIMIT_SECONDS + dataset.events / LEAST_PER_SECOND
        poll(read, lambda found: found >= sum(ends.values()), limit, "both jobs to read the topic")
        held = {name: _held(flink, job_id) for name, job_id in job_ids.items()}
        return Filled(held, live_heap_bytes(pid_of(settings, "flink-taskmanager")))


def _fresh_task_manager(settings: Settings) -> None:
    """Kill it, and wait for its restart: Flink keeps the state of the last cancelled job on the heap."""
    with FlinkRest(settings.flink_rest) as flink:
        found = flink.overview().task_managers
        if found != 1:
            raise BenchError(
                f"the stack has {found} TaskManagers; state is measured with one, which is started anew for each case: "
                "wait until `gamestream status` shows one, or measure a stack of its own, without --stack"
            )
        os.kill(pid_of(settings, "flink-taskmanager"), signal.SIGTERM)
        poll(flink.overview, lambda found: found.task_managers == 0, RESTART_SECONDS, "the TaskManager to sign off")
        poll(flink.overview, lambda found: found.slots_available > 0, RESTART_SECONDS, "a fresh TaskManager")


def _held(flink: FlinkRest, job_id: str) -> Held:
    sizes = [flink.checkpoint_size(job_id, flink.checkpoint_now(job_id).checkpoint_id) for _ in range(CHECKPOINTS)]
    names = {vertex.vertex_id: vertex_name(at, vertex.name) for at, vertex in enumerate(flink.vertices(job_id), 1)}
    last = sizes[-1]
    by_vertex = {names[vertex]: found for vertex, found in last.by_vertex.items()}
    return Held(last.state_bytes, by_vertex, [one.duration_ms for one in sizes])


def _case(players: int, ids: bool, rounds: Sequence[Filled]) -> dict[str, Any]:
    jobs: dict[str, Any] = {}
    for job in rounds[0].jobs:
        held = [one.jobs[job] for one in rounds]
        jobs[job] = {
            "state_bytes": spread([one.state_bytes for one in held]).as_dict(),
            "by_vertex": {
                vertex: spread([one.by_vertex[vertex] for one in held]).median for vertex in held[0].by_vertex
            },
            "duration_ms": spread([taken for one in held for taken in one.durations_ms]).as_dict(),
        }
    heap = spread([one.heap_bytes for one in rounds]).as_dict()
    return {"players": players, "ids": ids, "heap_bytes": heap, "jobs": jobs}


def _slopes(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Bytes for one more player, by job and vertex (those of at least a byte), and on the heap for both jobs."""
    plain = sorted((case for case in cases if not case["ids"]), key=lambda case: case["players"])
    if len(plain) < 2:
        return {}
    few, many = plain[0], plain[-1]
    more = many["players"] - few["players"]
    found: dict[str, dict[str, float]] = {}
    for job, held in many["jobs"].items():
        before = few["jobs"][job]
        slopes = {"all": (held["state_bytes"]["median"] - before["state_bytes"]["median"]) / more}
        for vertex, size in held["by_vertex"].items():
            slope = (size - before["by_vertex"].get(vertex, 0)) / more
            if slope >= 1:
                slopes[vertex] = slope
        found[job] = slopes
    found["both jobs"] = {"live heap": (many["heap_bytes"]["median"] - few["heap_bytes"]["median"]) / more}
    return found


def _table(cases: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            case["players"],
            "held" if case["ids"] else "none",
            job,
            *_mebibytes(held["state_bytes"]),
            *spread_cells(held["duration_ms"]),
            *_mebibytes(case["heap_bytes"]),
        ]
        for case in cases
        for job, held in case["jobs"].items()
    ]
    figures = ["checkpoint MiB", "checkpoint ms", "live heap MiB, both jobs"]
    columns = [column for figure in figures for column in (figure, "min", "max")]
    return Table("State after all events", ["players", "ids", "job", *columns], rows)


def _mebibytes(found: Mapping[str, float]) -> list[float]:
    return [size / 2**20 for size in (found["median"], found["min"], found["max"])]


def _players_table(slopes: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [job, short(vertex, VERTEX_WIDTH), size]
        for job, found in slopes.items()
        for vertex, size in sorted(found.items(), key=lambda one: -one[1])
    ]
    return Table("Bytes for one more player", ["job", "where", "bytes"], rows)
