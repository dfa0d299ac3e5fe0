"""The table of results in docs/performance.md: one row per goal, read from the newest stored run of its measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import number, table
from bench.results import BenchError, newest_path, stored

OPENING, CLOSING = "<!-- bench:summary -->\n", "<!-- /bench -->"
COLUMNS = ("what", "goal", "measured: median (min to max)", "ratio", "met", "run")
NOT_MEASURED = "not measured: `gamestream bench {measure}`"

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What one run says about one row: the figure as text, and the ratio that the goal is about."""

    measured: str
    ratio: float


@dataclass(frozen=True)
class Row:
    """One row of the table. `met` judges the ratio; None where there is no goal."""

    what: str
    goal: str
    measure: str
    read: Callable[[Figures], Reading]
    met: Callable[[float], bool] | None = None
    events: int | None = None


def write_summary(page: Path, results: Path) -> list[str]:
    """Replace the table of the page; returns the names of the runs in it.

    Raises:
        BenchError: the page or its place for the table is missing.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, opening, rest = text.partition(OPENING)
    _, closing, after = rest.partition(CLOSING)
    if not opening or not closing:
        raise BenchError(f"{page} has no place for the table of results; put {OPENING.strip()} and {CLOSING} there")
    rows, runs = summary(results)
    page.write_text(f"{before}{OPENING}{table(COLUMNS, rows)}\n{CLOSING}{after}", encoding="utf-8")
    return runs


def summary(results: Path) -> tuple[list[list[str]], list[str]]:
    """The cells of all rows, and the runs that they come from."""
    rows: list[list[str]] = []
    runs: list[str] = []
    for row in ROWS:
        path = newest_path(results, row.measure, row.events)
        if path is None:
            rows.append([row.what, row.goal, NOT_MEASURED.format(measure=row.measure), "–", "–", "–"])
            continue
        found = row.read(stored(path)["figures"])
        met = "–" if row.met is None else "yes" if row.met(found.ratio) else "**no**"
        link = f"[{path.stem}](../bench/results/{path.stem}.md)"
        rows.append([row.what, row.goal, found.measured, number(found.ratio), met, link])
        runs += [] if path.stem in runs else [path.stem]
    return rows, runs


def _shown(found: Mapping[str, float], unit: str) -> str:
    return f"{number(found['median'])} ({number(found['min'])} to {number(found['max'])}) {unit}"


def _throughput(contestant: str, *, over: str = "", goal: float = 0.0) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        main = next(one for one in figures["datasets"] if one["main"])["contestants"]
        found = main[contestant]["per_second"]
        below = main[over]["per_second"]["median"] if over else goal
        return Reading(_shown(found, "events/s"), found["median"] / below)

    return read


def _event_cost(players: int, score_format: str = "json") -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        main = next(one for one in figures["datasets"] if one["main"])
        other = next(
            one
            for one in figures["datasets"]
            if one["players"] == players and one["format"] == score_format and one["skew"] == "uniform"
        )
        found = other["contestants"]["gamestream"]["per_second"]
        return Reading(
            _shown(found, "events/s"), main["contestants"]["gamestream"]["per_second"]["median"] / found["median"]
        )

    return read


def _latency(profile: str, percentile: str, goal_ms: float) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        case = next(one for one in figures["cases"] if one["profile"] == profile and one["rate"] == 5000)
        found = case["observers"]["Postgres"][percentile]
        return Reading(f"{number(found)} ms", found / goal_ms)

    return read


def _rate(contestant: str, over: str) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        found, below = (figures["contestants"][name]["per_second"] for name in (contestant, over))
        return Reading(_shown(found, "events/s"), found["median"] / below["median"])

    return read


def _recompute(figures: Figures) -> Reading:
    found, scan = (figures["contestants"][name]["seconds"] for name in ("four boards", "bare scan of the same columns"))
    return Reading(_shown(found, "s"), found["median"] / scan["median"])


def _proof(figures: Figures) -> Reading:
    largest = max(figures["sizes"], key=lambda one: one["events"])
    found, scan = (largest["seconds"][name] for name in ("boards and ledger", "bare scan"))
    return Reading(f"{_shown(found, 's')}, {number(largest['events'])} events", found["median"] / scan["median"])


def _seconds(what: str, goal: float) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        found = figures["seconds"][what]
        return Reading(_shown(found, "s"), found["median"] / goal)

    return read


def _settled(figures: Figures) -> Reading:
    found = figures["contestants"]["every metric of the day, in Postgres"]["seconds"]
    return Reading(_shown(found, "s"), found["median"] / 120)


def _asked(name: str, goal_ms: float) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        found = median(run["waits"]["p99"] for run in figures["contestants"][name])
        return Reading(f"{number(found)} ms", found / goal_ms)

    return read


def _intake(part: str, contestant: str, goal: float) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        found = figures[part][contestant]
        return Reading(_shown(found, "events/s"), found["median"] / goal)

    return read


def _to_reader(goal_ms: float) -> Callable[[Figures], Reading]:
    def read(figures: Figures) -> Reading:
        found = figures["waits"]["HTTP answer to reader"]["p99"]
        return Reading(f"{number(found)} ms", found / goal_ms)

    return read


def _beside_a_limited_key(figures: Figures) -> Reading:
    quiet, flooded = (
        figures["waits"][name]["p99"] for name in ("answer, alone", "answer, beside a key over its limit")
    )
    return Reading(f"{number(flooded)} ms", flooded / quiet)


def _at_least(least: float) -> Callable[[float], bool]:
    return lambda ratio: ratio >= least


def _at_most(most: float) -> Callable[[float], bool]:
    return lambda ratio: ratio <= most


ROWS = (
    Row(
        "both jobs, 20,000 players",
        "60,000 events/s",
        "streaming",
        _throughput("gamestream", goal=60_000),
        _at_least(1),
    ),
    Row(
        "… over the first demo's SQL",
        "15 times",
        "streaming",
        _throughput("gamestream", over="first demo's SQL"),
        _at_least(15),
    ),
    Row("… over scan and parse only", "", "streaming", _throughput("gamestream", over="scan and parse only")),
    Row(
        "1,000 players: cost of an event",
        "0.75 to 1.25 of 20,000's",
        "streaming",
        _event_cost(1_000),
        lambda r: 0.75 <= r <= 1.25,
    ),
    Row(
        "200,000 players: cost of an event",
        "0.75 to 1.25 of 20,000's",
        "streaming",
        _event_cost(200_000),
        lambda r: 0.75 <= r <= 1.25,
    ),
    Row("Avro: cost of an event", "", "streaming", _event_cost(20_000, "avro")),
    Row("`low-latency` over `default`", "", "streaming", _throughput("gamestream, low latency", over="gamestream")),
    Row(
        "`default`, 5,000 events/s, p99 in Postgres",
        "2,000 ms",
        "latency",
        _latency("default", "p99", 2000),
        _at_most(1),
    ),
    Row(
        "`low-latency`, 5,000 events/s, p50 in Postgres",
        "100 ms",
        "latency",
        _latency("low-latency", "p50", 100),
        _at_most(1),
    ),
    Row(
        "`low-latency`, 5,000 events/s, p99 in Postgres",
        "250 ms",
        "latency",
        _latency("low-latency", "p99", 250),
        _at_most(1),
    ),
    Row(
        "events over HTTP in batches of 100",
        "5,000 events/s",
        "intake",
        _intake("http", "HTTP, batches of 100", 5_000),
        _at_least(1),
    ),
    Row(
        "`event_intake_v1`",
        "30,000 events/s",
        "intake",
        _intake("job", "event_intake_v1", 30_000),
        _at_least(1),
    ),
    Row(
        "HTTP answer to a reader of enriched events, 2,000 events/s, p99",
        "3,000 ms",
        "intake",
        _to_reader(3_000),
        _at_most(1),
    ),
    Row(
        "answer beside a key over its limit, p99", "2 times its quiet one", "intake", _beside_a_limited_key, _at_most(2)
    ),
    Row("every metric of a day of 10 million events", "120 s", "settle", _settled, _at_most(1)),
    Row(
        "rank and rows around at 500 requests/s, a million players, p99",
        "5 ms",
        "ranks",
        _asked("serving API on Valkey", 5),
        _at_most(1),
    ),
    Row("… Postgres alone", "", "ranks", _asked("Postgres alone", 5)),
    Row("four boards recomputed over a bare scan, 10 million events", "3 times", "recompute", _recompute, _at_most(3)),
    Row("proof of a drained topic over a bare scan", "", "proof", _proof),
    Row(
        "archive over a bare consumer",
        "0.5 times",
        "archive",
        _rate("archive (decoded, Parquet, fsync)", "bare consumer"),
        _at_least(0.5),
    ),
    Row(
        "simulator over kafka-producer-perf-test",
        "0.5 times",
        "produce",
        _rate("simulator", "kafka-producer-perf-test"),
        _at_least(0.5),
    ),
    Row(
        "replay of a file over kafka-producer-perf-test",
        "0.5 times",
        "produce",
        _rate("replay of a file", "kafka-producer-perf-test"),
        _at_least(0.5),
    ),
    Row("plain Python consumer over gamestream", "", "peers", _rate("plain Python consumer, orjson", "gamestream")),
    Row(
        "TaskManager killed until all tasks run",
        "12 s",
        "recovery",
        _seconds("TaskManager killed until all tasks run", 12),
        _at_most(1),
    ),
    Row(
        "code location, in a fresh process",
        "5 s",
        "recovery",
        _seconds("code location, in a fresh process", 5),
        _at_most(1),
    ),
)
