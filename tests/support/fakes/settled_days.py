"""A month of settled days for tests of what shows them: rows of every metric that is about no single player."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gamestream_dagster.catalogue.metrics import Metric, MetricColumn, MetricType, load_metrics
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata

DIMENSIONS: Mapping[str, tuple[Any, ...]] = {
    "level_id": tuple(range(1, 31)),
    "currency": ("gold", "gems"),
    "feature": ("guild", "chat", "daily_quest", "tournament"),
    "event_name": ("player_join", "level_start", "level_complete", "item_purchase"),
    "step": ("1 played", "2 started a level", "3 completed a level", "4 bought something"),
}


def settle(settings: Settings, days: int = 31, version: int = 1, last: date | None = None) -> date:
    """Write rows and settlements of the days up to `last` (default: yesterday); gives the last day."""
    newest = last or datetime.now(UTC).date() - timedelta(days=1)
    metadata = load_metadata()
    database = engine(settings)
    with database.begin() as link:
        for metric in load_metrics().values():
            if metric.divided or any(name.endswith(("user_id", "friend_id")) for name in metric.key):
                continue
            for back in range(days):
                day = newest - timedelta(days=back)
                rows = list(_rows(metric, day, days))
                if rows:
                    link.execute(sa.insert(metadata.tables[metric.name]), rows)
                record = _settlement(metric, day, version, len(rows))
                link.execute(sa.insert(metadata.tables["metric_settlements"]).values(record))
    database.dispose()
    return newest


def _rows(metric: Metric, day: date, days: int) -> Iterator[dict[str, Any]]:
    others = [name for name in metric.key if name != metric.partition]
    if not others:
        yield _row(metric, day, {}, 1.0)
    elif "cohort_date" in others:
        for age in range(days):
            if "day_n" in others and age not in (1, 3, 7, 14, 30):
                continue
            for cohort in range(age, days) if "day_n" in others else (age,):
                key = {"cohort_date": day - timedelta(days=cohort)}
                key |= {"day_n": age} if "day_n" in others else {"days_since_install": age}
                yield _row(metric, day, key, 1 / (1 + age))
    else:
        for place, value in enumerate(DIMENSIONS[others[0]]):
            yield _row(metric, day, {others[0]: value}, 1 / (1 + place / 8))


def _row(metric: Metric, day: date, key: Mapping[str, Any], scale: float) -> dict[str, Any]:
    week = 1 + 0.15 * math.sin(day.toordinal() * 2 * math.pi / 7)
    values = {
        name: _value(column, scale * week, place)
        for place, (name, column) in enumerate(metric.columns.items())
        if name not in metric.key
    }
    return {**values, metric.partition: day, **key}


def _value(column: MetricColumn, scale: float, place: int) -> Any:
    number = 1000 * scale / (1 + place / 3)
    match column.type:
        case MetricType.BIGINT:
            return int(number)
        case MetricType.DOUBLE:
            return min(1.0, scale * 0.6) if column.unit == "share" else number / 40
        case MetricType.DECIMAL:
            return Decimal(f"{number:.2f}")
        case _:
            return None


def _settlement(metric: Metric, day: date, version: int, rows: int) -> dict[str, Any]:
    at = datetime.now(UTC)
    texts = {"digest": "d", "fingerprint": "f", "file": "x.parquet", "file_sha256": "s", "reason": "FIRST"}
    counts = {"settle_version": version, "rows": rows, "late_events": 12 if version > 1 else 0}
    return {"metric": metric.name, "day": day, "settled_at": at, "inputs": {}, "failed_checks": [], **texts, **counts}
