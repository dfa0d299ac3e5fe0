"""One rule for percentiles: the smallest value with at least p of the values at or below it."""

from __future__ import annotations

import random
from datetime import date
from fractions import Fraction
from math import ceil
from pathlib import Path

from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import METRICS, computed_days, records_of

DAY = date(2026, 3, 1)


def smallest_with(share: str, values: list[int]) -> int:
    ordered = sorted(values)
    return ordered[ceil(Fraction(share) * len(ordered)) - 1]


def test_percentiles_of_1_to_200_values_are_those_of_the_rule(tmp_path: Path) -> None:
    chance = random.Random(7)
    moves = {size: [chance.randrange(1000) for _ in range(size)] for size in range(1, 201)}
    completed = [
        {"user_id": "ann", "event_type": "level_complete", "event_time": "2026-03-01T10:00:00Z", "level_id": size,
         "moves_used": value}
        for size, values in moves.items()
        for value in values
    ]  # fmt: skip
    write_records(tmp_path / "archive", GAME_EVENTS, records_of(completed))
    metric = METRICS["level_metrics"]
    computed, database = computed_days(tmp_path, metric, [DAY])
    with database:
        rows = database.rows(metric, computed[DAY].path)
    found = {row["level_id"]: (row["p50_moves"], row["p95_moves"], row["avg_moves"]) for row in rows}
    assert found == {
        size: (smallest_with("0.5", values), smallest_with("0.95", values), sum(values) / size)
        for size, values in moves.items()
    }
