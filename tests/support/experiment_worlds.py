"""Experiments for tests: moments of made-up players, samples, plans and files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gamestream_dagster.experiments.plan import Metric, MetricKind, Plan, Role, plan_of
from gamestream_dagster.experiments.sample import Arm, Before, Moments, Sample

COLUMNS = ("userid", "version", "sum_gamerounds", "retention_1", "retention_7")


def rate(successes: int, players: int) -> Moments:
    """Moments of a proportion."""
    p = successes / players if players else 0.0
    variance = p * (1 - p) * players / (players - 1) if players > 1 else 0.0
    return Moments(players, float(successes), variance)


def of_values(values: Sequence[float]) -> Moments:
    """Moments of numbers."""
    array = np.asarray(values, dtype=float)
    return Moments(len(array), float(array.sum()), float(array.var(ddof=1)) if len(array) > 1 else 0.0)


def with_before(values: Sequence[float], before: Sequence[float]) -> Moments:
    """Moments of numbers whose players have a value from before the experiment."""
    then = of_values(before)
    covariance = float(np.cov(np.asarray(values, float), np.asarray(before, float))[0, 1])
    return replace(of_values(values), before=Before(then.total, then.variance, covariance))


def plan(**changes: Any) -> Plan:
    """A plan of two equal arms with one primary proportion."""
    content: dict[str, Any] = {
        "experiment": "gate",
        "control": "a",
        "variants": {"a": 1, "b": 1},
        "metrics": {"kept": {"kind": "proportion", "role": "primary"}},
        "stop": {"horizon": {"players": 100}},
    }
    return plan_of(content | changes, "a test")


def metric(kind: str = "proportion", role: str = "primary", **more: Any) -> Metric:
    """One metric."""
    return Metric(kind=MetricKind(kind), role=Role(role), **more)


def sample(arms: dict[str, dict[str, Moments]], crossovers: int = 0) -> Sample:
    """A sample of moments by variant and metric."""
    return Sample(
        tuple(Arm(variant, next(iter(found.values())).count, found) for variant, found in arms.items()), crossovers
    )


def write_players(path: Path, rows: Iterable[Sequence[Any]], columns: Sequence[str] = COLUMNS) -> Path:
    """A CSV file of players."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def players(versions: dict[str, tuple[int, int, int]], rounds: int = 10) -> list[tuple[Any, ...]]:
    """Rows by version: players, returned on day 1, returned on day 7; the rounds of a version alternate."""
    rows: list[tuple[Any, ...]] = []
    for version, (count, day_1, day_7) in versions.items():
        for place in range(count):
            number = rounds + (1 if place % 2 else -1)
            rows.append((len(rows), version, number, place < day_1, place < day_7))
    return rows
