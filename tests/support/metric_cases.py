"""Hand-made cases of settled metrics: records as games send them, and the rows that a day must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import yaml

from gamestream_dagster.catalogue.metrics import Metric, MetricType, load_metrics
from gamestream_dagster.enrichment.device_table import DeviceTable
from gamestream_dagster.enrichment.tables import DEVICE_FILE, PACKAGED
from gamestream_dagster.metrics.compute import Computed, MetricsDatabase
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS

METRICS = load_metrics()
DEVICES = DeviceTable(PACKAGED / DEVICE_FILE)


@dataclass(frozen=True)
class Case:
    """One case of one metric."""

    metric: str
    name: str
    day: date
    records: tuple[tuple[bytes, int], ...]
    """Values with Kafka timestamps."""
    rows: tuple[Mapping[str, Any], ...]


def all_cases() -> list[Case]:
    """Every case of `batch_sql/`."""
    return [
        _case(metric, folder)
        for metric in METRICS.values()
        for folder in sorted((metric.folder / "tests").glob("*"))
        if folder.is_dir()
    ]


def records_of(events: Sequence[Mapping[str, Any]]) -> tuple[tuple[bytes, int], ...]:
    """Records of events: `arrives` is the Kafka time (default: the event's own), missing ids are given."""
    records = []
    for number, event in enumerate(events):
        fields = {"event_id": f"e{number + 1}", **event}
        arrives = fields.pop("arrives", fields["event_time"])
        records.append((orjson.dumps(fields), _millis(arrives)))
    return tuple(records)


def computed_days(
    folder: Path, metric: Metric, days: Sequence[date], metrics: Mapping[str, Metric] = METRICS
) -> tuple[dict[date, Computed], MetricsDatabase]:
    """Days of a metric, after those that it reads, from the archive in `folder / "archive"`."""
    database = MetricsDatabase(folder / "archive", GAME_EVENTS, folder / "spill", DEVICES)
    database.declare(metrics)
    filled = database.days_with_events()  # what other metrics read has no rows on days without events
    files: dict[str, dict[date, Path]] = {}
    computed: dict[tuple[str, date], Computed] = {}

    def compute(one: Metric, day: date) -> Computed:
        if (one.name, day) not in computed:
            for name in one.upstream:
                for at in filter(filled.__contains__, one.days_of(name, day, date.min)):
                    files.setdefault(name, {})[at] = compute(metrics[name], at).path
            target = folder / one.name / f"{day}.parquet"
            computed[one.name, day] = database.compute(one, day, files, target)
        return computed[one.name, day]

    return {day: compute(metric, day) for day in days}, database


def rows_of(folder: Path, case: Case) -> list[dict[str, Any]]:
    """The rows that the product computes for a case, with every check held."""
    write_records(folder / "archive", GAME_EVENTS, case.records)
    metric = METRICS[case.metric]
    computed, database = computed_days(folder, metric, [case.day])
    with database:
        found = computed[case.day]
        broken = [one.name for one in found.checks if not one.passed and one.severity.value == "fail"]
        assert not broken, broken
        rows = database.rows(metric, found.path)
    for row in rows:
        assert row.pop(metric.partition) == case.day
    return rows


def expected_rows(case: Case) -> list[dict[str, Any]]:
    """The rows of `expect.yaml`, each with every column: those left out are null."""
    metric = METRICS[case.metric]
    columns = [name for name in metric.columns if name != metric.partition]
    for row in case.rows:
        assert row.keys() <= set(columns), row.keys() - set(columns)
    return [{name: _typed(metric, name, row.get(name)) for name in columns} for row in case.rows]


def _case(metric: Metric, folder: Path) -> Case:
    given = yaml.safe_load((folder / "input.yaml").read_text(encoding="utf-8"))
    expected = yaml.safe_load((folder / "expect.yaml").read_text(encoding="utf-8"))
    return Case(metric.name, folder.name, given["day"], records_of(given["events"]), tuple(expected["rows"]))


def _millis(time: str | datetime) -> int:
    at = datetime.fromisoformat(time) if isinstance(time, str) else time
    return round(at.timestamp() * 1000)


def _typed(metric: Metric, name: str, value: Any) -> Any:
    kind = metric.columns[name].type
    if value is None:
        return None
    if kind is MetricType.DECIMAL:
        return Decimal(str(value)).quantize(Decimal("0.000001"))
    if kind is MetricType.TIMESTAMP:
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    return float(value) if kind is MetricType.DOUBLE else value
