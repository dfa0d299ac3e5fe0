"""Measure 7: what the jobs hold after a number of events, by number of players: checkpoint, duration, heap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gamestream_dagster.benchmarks import gate
from gamestream_dagster.benchmarks.dataset import Dataset, fill
from gamestream_dagster.benchmarks.figures import Spread, spread
from gamestream_dagster.benchmarks.flink_runs import our_job, poll, submitted, vertex_name
from gamestream_dagster.benchmarks.live_heap import live_heap_bytes
from gamestream_dagster.benchmarks.results import Result, Table
from gamestream_dagster.benchmarks.rounds import Say
from gamestream_dagster.benchmarks.stacks import pid_of
from gamestream_dagster.benchmarks.streaming import JOBS
from gamestream_dagster.catalogue.topics import EventIds
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.settings import Settings

CHECKPOINTS = 5
# In seconds a catch-up drives as many ids through as others in minutes, and here all of them are held.
HEAP_MIB = 8192
LIMIT_SECONDS, LEAST_PER_SECOND = 300.0, 5_000


@dataclass(frozen=True)
class StateOptions:
    """Numbers of players, the main one first: there the ids of events are held too."""

    events: int = 10_000_000
    players: tuple[int, ...] = (20_000, 1_000, 200_000)
    seed: int = 1


@dataclass(frozen=True)
class Held:
    """One job once it has read everything: bytes in all and by vertex, milliseconds of checkpoints."""

    job: str
    state_bytes: int
    by_vertex: Mapping[str, int]
    duration_ms: Spread


def measure(settings: Settings, options: StateOptions, say: Say) -> Result:
    """Each number of players without ids, for what a player costs; the main one with ids, for what an id costs."""
    result = Result("state", {"events": options.events, "checkpoints": CHECKPOINTS, "seed": options.seed})
    cases: list[dict[str, Any]] = []
    for players in sorted(options.players):
        cases.append(_case(settings, Dataset(options.events, players, options.seed), {}, say))
    cases.append(_case(settings, Dataset(options.events, options.players[0], options.seed), None, say))
    result.figures["cases"] = cases
    result.figures["bytes_a_player"] = _slopes(cases)
    result.tables = [_table(cases), _players_table(result.figures["bytes_a_player"])]
    result.notes += [
        "Both jobs run side by side and have read all events; each figure is of five checkpoints. The heap is what a "
        f"full collection leaves of the TaskManager's ({HEAP_MIB:,} MiB at most), Flink's own objects included.",
        "Ids are held for the topic's horizon by the job's own clock: in a catch-up all of them.",
        "Bytes a player are the difference between the greatest and the least number of players, over that of players.",
    ]
    return result


def _case(settings: Settings, dataset: Dataset, ids: Mapping[str, EventIds] | None, say: Say) -> dict[str, Any]:
    ends = fill(settings, dataset)
    gate.clear(settings)
    jobs = [our_job(settings, name, dataset, None, ids) for name in JOBS]
    with submitted(settings, jobs) as (flink, job_ids), gate.progress(settings, JOBS) as read:
        limit = LIMIT_SECONDS + dataset.events / LEAST_PER_SECOND
        poll(read, lambda found: found >= sum(ends.values()), limit, "both jobs to read the topic")
        held = [_held(flink, name, job_id) for name, job_id in job_ids.items()]
        heap = live_heap_bytes(pid_of(settings, "flink-taskmanager"))
    kind = "with ids" if ids is None else "without ids"
    say(f"{dataset.title}, {kind}: {sum(one.state_bytes for one in held) / 2**20:.1f} MiB, heap {heap / 2**20:.0f} MiB")
    return {
        "players": dataset.players,
        "ids": ids is None,
        "heap_bytes": heap,
        "jobs": {
            one.job: {
                "state_bytes": one.state_bytes,
                "by_vertex": dict(one.by_vertex),
                "duration_ms": one.duration_ms.as_dict(),
            }
            for one in held
        },
    }


def _held(flink: FlinkRest, job: str, job_id: str) -> Held:
    sizes = [flink.checkpoint_size(job_id, flink.checkpoint_now(job_id).checkpoint_id) for _ in range(CHECKPOINTS)]
    names = {vertex.vertex_id: vertex_name(at, vertex.name) for at, vertex in enumerate(flink.vertices(job_id), 1)}
    last = sizes[-1]
    by_vertex = {names[vertex]: found for vertex, found in last.by_vertex.items()}
    return Held(job, last.state_bytes, by_vertex, spread([one.duration_ms for one in sizes]))


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
        slopes = {"all": (held["state_bytes"] - before["state_bytes"]) / more}
        for vertex, size in held["by_vertex"].items():
            slope = (size - before["by_vertex"].get(vertex, 0)) / more
            if slope >= 1:
                slopes[vertex] = slope
        found[job] = slopes
    found["both jobs"] = {"live heap": (many["heap_bytes"] - few["heap_bytes"]) / more}
    return found


def _table(cases: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            case["players"],
            "held" if case["ids"] else "none",
            job,
            held["state_bytes"] / 2**20,
            held["duration_ms"]["median"],
            held["duration_ms"]["max"],
            round(case["heap_bytes"] / 2**20),
        ]
        for case in cases
        for job, held in case["jobs"].items()
    ]
    columns = ["players", "ids", "job", "checkpoint MiB", "checkpoint ms", "longest", "live heap MiB, both jobs"]
    return Table("State after all events", columns, rows)


def _players_table(slopes: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [job, vertex if len(vertex) <= 90 else vertex[:89] + "…", size]
        for job, found in slopes.items()
        for vertex, size in sorted(found.items(), key=lambda one: -one[1])
    ]
    return Table("Bytes for one more player", ["job", "where", "bytes"], rows)
