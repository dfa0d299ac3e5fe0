"""Measure 1: events per second from a full topic to eight real sinks, against the first demo's SQL and a bare scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import factorhouse, gate
from bench.dataset import Dataset, fill
from bench.figures import ratio, short, spread, spread_cells
from bench.flink_runs import Run, our_job, run_to_end, scan_job
from bench.results import Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.catalogue.topics import Dedup
from gamestream_dagster.settings import Settings, StreamProfile, TopicFormat

OURS, WITHOUT_IDS, QUICK = "gamestream", "gamestream, events without ids", "gamestream, low latency"
SCAN, SEED = "scan and parse only", "first demo's SQL"
JOBS = ("leaderboards_v1", "hot_streaks_v1")
VERTEX_WIDTH = 110
LEAST_SHARE = 0.01
RATES = "events/s", "min", "max"


@dataclass(frozen=True)
class StreamingOptions:
    """The options. `players` are swept with JSON; Avro and skew use the main number alone."""

    rounds: int = 5
    events: int = 400_000
    seed_events: int = 50_000
    players: tuple[int, ...] = (20_000, 1_000, 200_000)
    zipf: float = 1.1
    seed: int = 1
    reference: Path | None = None
    sweep: bool = True

    @property
    def main(self) -> Dataset:
        """The first number of players, JSON, all players alike."""
        return Dataset(self.events, self.players[0], self.seed)

    def datasets(self) -> list[Dataset]:
        """The main one first."""
        main = self.main
        if not self.sweep:
            return [main]
        more = [Dataset(self.events, players, self.seed) for players in self.players[1:]]
        avro = Dataset(self.events, main.players, self.seed, score_format=TopicFormat.AVRO)
        return [main, *more, avro, Dataset(self.events, main.players, self.seed, zipf=self.zipf)]


def measure(settings: Settings, options: StreamingOptions, say: Say) -> Result:
    """Each dataset in turn; on it the contestants in turn."""
    shown = {"rounds": options.rounds, "events": options.events, "seed": options.seed, "zipf": options.zipf}
    result = Result("streaming", {**shown, "first demo's events": options.seed_events})
    if options.reference is None:
        result.notes.append(
            f"{SEED} was skipped: its scripts are not part of this repository; name their folder with --reference."
        )
    cases = [_case(settings, options, dataset, result, say) for dataset in options.datasets()]
    result.figures["datasets"] = cases
    result.tables = [_rates(cases), _comparison(cases), _profile(cases)]
    result.notes.append(
        "From the start of the first job to the end of the last, start-up and the last checkpoint included; "
        "steady is the rate between a tenth and nine tenths of the events, by the jobs' own ledgers. "
        "Before a round counts, both sinks of all four boards were held against the recompute."
    )
    return result


def _case(settings: Settings, options: StreamingOptions, dataset: Dataset, result: Result, say: Say) -> dict[str, Any]:
    say(f"{dataset.title}: fill {dataset.topic}, recompute its boards")
    ends = fill(settings, dataset)
    expected = gate.truth(settings, dataset, ends)
    ours = Ours(settings, dataset, ends, expected)
    contestants: dict[str, Callable[[], Run]] = {
        OURS: lambda: ours.run(OURS),
        SCAN: lambda: run_to_end(settings, [scan_job(settings, dataset, ends)], dataset.events),
    }
    main = dataset == options.main
    if main:
        contestants[WITHOUT_IDS] = lambda: ours.run(WITHOUT_IDS, dedup={})
        quick = replace(ours, settings=settings.model_copy(update={"stream_profile": StreamProfile.LOW_LATENCY}))
        contestants[QUICK] = lambda: quick.run(QUICK)
        for job in JOBS:
            contestants[f"{OURS}, {job} alone"] = lambda job=job: ours.run_one(job)
    if main and options.reference is not None:
        contestants[SEED] = _seed(settings, options, dataset, ends, result)
    runs = alternate(contestants, options.rounds, say)
    return {
        "title": dataset.title,
        "players": dataset.players,
        "format": dataset.score_format.value,
        "skew": dataset.skew,
        "main": main,
        "swept": dataset == replace(options.main, players=dataset.players),
        "contestants": {name: _figures(found) for name, found in runs.items()},
    }


@dataclass(frozen=True)
class Ours:
    """The project's own jobs over one dataset."""

    settings: Settings
    dataset: Dataset
    ends: Mapping[int, int]
    expected: gate.Truth

    def run(self, name: str, dedup: Mapping[str, Dedup] | None = None) -> Run:
        """Both jobs at once, from empty tables to correct boards."""
        gate.clear(self.settings)
        jobs = [our_job(self.settings, job, self.dataset, self.ends, dedup) for job in JOBS]
        with gate.progress(self.settings, JOBS) as read:
            run = run_to_end(self.settings, jobs, self.dataset.events, look=read)
        gate.check(self.settings, self.expected, name)
        return run

    def run_one(self, job: str) -> Run:
        """One of them alone, to attribute the machine's time."""
        gate.clear(self.settings)
        jobs = [our_job(self.settings, job, self.dataset, self.ends)]
        with gate.progress(self.settings, [job]) as read:
            run = run_to_end(self.settings, jobs, self.dataset.events, look=read)
        gate.check(self.settings, self.expected, f"{job} alone", [job])
        return run


def _seed(
    settings: Settings, options: StreamingOptions, dataset: Dataset, ends: Mapping[int, int], result: Result
) -> Callable[[], Run]:
    """The four jobs over the first part of the same topic: all of it would take the whole run."""
    assert options.reference is not None  # noqa: S101 - the caller asked
    events = min(options.seed_events, dataset.events)
    cut = {partition: end * events // dataset.events for partition, end in ends.items()}
    place = factorhouse.place_of(settings, dataset, cut)
    jobs = factorhouse.jobs_of(options.reference, place)
    topics = factorhouse.board_topics(options.reference, place)
    expected = gate.truth(settings, dataset, cut)
    result.notes.append(
        f"{SEED} reads the first {sum(cut.values()):,} events of the same topic: over all of them a round would take "
        "too long, and its rate falls with the number of players that it holds, so that this is in its favour. Its "
        "hot streaks are defined by event and not by tick; it promises no row in Postgres and drops no copy. "
        "At a team whose total is 0 its MVP job divides by zero and ends: no score here is 0."
    )

    def run() -> Run:
        factorhouse.make_topics(settings, topics)
        done = run_to_end(settings, jobs, sum(cut.values()))
        result.figures["first demo's rows as recomputed"] = factorhouse.rows_alike(settings, place, expected)
        return done

    return run


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    jobs = runs[0].job_seconds
    steady = [run.steady_per_second for run in runs if run.steady_per_second is not None]
    return {
        "steady_per_second": spread(steady).as_dict() if len(steady) == len(runs) else None,
        "events": runs[0].events,
        "per_second": spread([run.per_second for run in runs]).as_dict(),
        "per_cpu_second": spread([run.per_cpu_second for run in runs]).as_dict(),
        "busy_ms": {vertex: spread([run.busy_ms[vertex] for run in runs]).median for vertex in runs[0].busy_ms},
        "job_seconds": {job: spread([run.job_seconds[job] for run in runs]).as_dict() for job in jobs},
    }


def _rates(cases: Sequence[dict[str, Any]]) -> Table:
    rows = [
        [
            case["title"],
            name,
            found["events"],
            *spread_cells(found["per_second"]),
            spread_cells(found["steady_per_second"])[0],
            found["per_cpu_second"]["median"],
        ]
        for case in cases
        for name, found in case["contestants"].items()
    ]
    return Table("Streaming throughput", ["events", "contestant", "read", *RATES, "steady", "per CPU second"], rows)


def _comparison(cases: Sequence[dict[str, Any]]) -> Table:
    """The ratios of the goals, from the medians above."""
    main = next(case for case in cases if case["main"])["contestants"]
    rows: list[list[Any]] = []
    for name in (SEED, WITHOUT_IDS, QUICK, SCAN):
        if name in main:
            rows.append([f"gamestream over {name}, at the main number", _over(main[OURS], main[name])])
    for case in cases:
        if not case["main"]:
            cost = ratio(_median(main[OURS]), _median(case["contestants"][OURS]))
            rows.append([f"cost of an event with {case['title']}, over the main number's", cost])
    return Table("Ratios of medians", ["what", "ratio"], rows)


def _profile(cases: Sequence[dict[str, Any]]) -> Table:
    """Time per event in each task by number of players; tasks with at least 1 % of the work, most expensive first."""
    swept = sorted((case for case in cases if case["swept"]), key=lambda case: case["players"])
    found = [case["contestants"][OURS] for case in swept]
    main = next(case for case in cases if case["main"])["contestants"][OURS]["busy_ms"]

    def each(busy_ms: Callable[[Mapping[str, float]], float]) -> list[float]:
        return [1000 * busy_ms(one["busy_ms"]) / one["events"] for one in found]

    whole = each(lambda busy: sum(busy.values()))
    rows: list[list[Any]] = []
    for vertex in sorted(main, key=lambda name: -main[name]):
        spent = each(lambda busy, vertex=vertex: busy[vertex])
        if any(one >= LEAST_SHARE * all_of_it for one, all_of_it in zip(spent, whole, strict=True)):
            rows.append([short(vertex, VERTEX_WIDTH), *spent])
    columns = ["job and vertex", *(f"{case['players']:,} players" for case in swept)]
    title = "Where the time of the tasks goes (gamestream): microseconds an event"
    return Table(title, columns, [*rows, ["all tasks", *whole]])


def _over(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    return ratio(_median(one), _median(other))


def _median(found: dict[str, Any]) -> float:
    return float(found["per_second"]["median"])
