"""Measure 4: the same boards by other means, from the same topic, in the same run; with what each does not give."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import gate
from bench.dataset import Dataset, fill
from bench.figures import spread, spread_cells
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from bench.streaming import OURS, Ours
from gamestream_dagster.settings import Settings

ORJSON, JSON, QUIX = "plain Python consumer, orjson", "plain Python consumer, json", "quixstreams, totals of players"
LIMIT_SECONDS = 600
GIVES = {
    OURS: "four boards in Kafka and Postgres; exactly once, restored after a kill; late and refused events told",
    ORJSON: "the four boards in its own memory: no sink, no checkpoint, nothing left after a kill; one core",
    JSON: "the same, with the parser of the standard library",
    QUIX: "each player's total, restored from a changelog topic; no rank, no team, no hot streak, no copy dropped",
}
_HOT = ("short_term_sum", "short_term_count", "long_term_sum", "long_term_count")


@dataclass(frozen=True)
class PeerOptions:
    """`quixstreams_python`: of an environment of its own that holds quixstreams; None: it is left out."""

    rounds: int = 5
    events: int = 300_000
    players: int = 20_000
    seed: int = 1
    quixstreams_python: Path | None = None


@dataclass(frozen=True)
class PeerRun:
    """One round of one contestant."""

    per_second: float
    per_cpu_second: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} events/s, {self.per_cpu_second:,.0f} per CPU second"


def measure(settings: Settings, options: PeerOptions, say: Say) -> Result:
    """All contestants over one topic with JSON, all players alike."""
    dataset = Dataset(options.events, options.players, options.seed)
    ends = fill(settings, dataset)
    expected = gate.truth(settings, dataset, ends)
    result = Result("peers", {"rounds": options.rounds, "events": options.events, "seed": options.seed})
    asked = {"bootstrap": settings.kafka.bootstrap, "topic": dataset.topic, "ends": ends, "events": options.events}
    ours = Ours(settings, dataset, ends, expected)
    plain = [sys.executable, "-m", "bench.plain_consumer"]
    contestants: dict[str, Callable[[], PeerRun]] = {
        OURS: lambda: _ours(ours),
        ORJSON: lambda: _process(ORJSON, plain, {**asked, "parser": "orjson"}, expected),
        JSON: lambda: _process(JSON, plain, {**asked, "parser": "json"}, expected),
    }
    if options.quixstreams_python is None:
        result.notes.append(
            "quixstreams was left out: make it an environment of its own (`python -m venv quix`, `quix/bin/pip install "
            "quixstreams`) and name its Python with --quixstreams-python."
        )
    else:
        quix = [str(options.quixstreams_python), str(Path(__file__).with_name("quix_totals.py"))]
        contestants[QUIX] = lambda: _process(QUIX, quix, asked, expected)
    runs = alternate(contestants, options.rounds, say)
    result.figures["contestants"] = {
        name: {
            "per_second": spread([run.per_second for run in found]).as_dict(),
            "per_cpu_second": spread([run.per_cpu_second for run in found]).as_dict(),
            "gives": GIVES[name],
        }
        for name, found in runs.items()
    }
    result.tables = [_table(result.figures["contestants"])]
    result.notes.append("The rows of every contestant were held against the recompute, as far as it has them.")
    return result


def _ours(ours: Ours) -> PeerRun:
    run = ours.run(OURS)
    return PeerRun(run.per_second, run.per_cpu_second)


def _process(name: str, command: Sequence[str], asked: Mapping[str, Any], expected: gate.Truth) -> PeerRun:
    done = subprocess.run(
        [*command, json.dumps(asked)], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    if done.returncode:
        raise BenchError(f"{name} failed: {done.stderr.strip()[-400:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    for board, rows in found["rows"].items():
        problem = unlike(rows, expected.rows[board])
        if problem:
            raise BenchError(f"{name}: {board} is wrong, {problem}; no figure of it is worth anything")
    return PeerRun(asked["events"] / found["seconds"], asked["events"] / found["cpu_seconds"])


def unlike(found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> str:
    """What tells a peer's rows from the recompute's in the columns that it has; empty when nothing does."""
    if len(found) != len(expected):
        return f"{len(found)} rows in place of {len(expected)}"
    for number, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        shown = dict(one)
        shown.update(zip(_HOT, shown.pop("sums", ()), strict=False))
        for name, value in shown.items():
            if value != other[name]:
                return f"rank {number} has {name} {value!r} in place of {other[name]!r}"
    return ""


def _table(found: Mapping[str, Any]) -> Table:
    rows = [
        [name, *spread_cells(one["per_second"]), one["per_cpu_second"]["median"], one["gives"]]
        for name, one in found.items()
    ]
    return Table("The same events by other means", ["contestant", "events/s", "min", "max", "per CPU s", "gives"], rows)
