"""The queries of the series that read metrics and live tables, over made-up rows.

They run in DuckDB, which reads this part of Postgres' SQL alike; tests/integration/test_monitoring.py runs them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.metrics import load_metrics

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
SETTLED = ("active_users", "purchases_daily", "revenue_daily", "economy_daily", "retention", "level_metrics")
TYPES = {"string": "VARCHAR", "timestamp": "TIMESTAMPTZ", "decimal": "DECIMAL(38, 6)", "instant": "TIMESTAMPTZ"}


@pytest.fixture
def base() -> Iterator[duckdb.DuckDBPyConnection]:
    """Empty tables with the columns that the catalogue declares."""
    outputs, metrics = load_boards(), load_metrics()
    columns = {name: output.columns for name, output in outputs.items() if not output.ranked}
    columns |= {name: metrics[name].columns for name in SETTLED}
    with duckdb.connect() as made:
        for name, described in columns.items():
            told = ", ".join(f'"{column}" {_type(one)}' for column, one in described.items())
            made.execute(f"CREATE TABLE {name} ({told})")
        yield made


def _type(column: Any) -> str:
    name = str(getattr(column.type, "value", column.type))
    return TYPES.get(name, name.upper())


def add(base: duckdb.DuckDBPyConnection, table: str, **values: object) -> None:
    base.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' for _ in values)})", list(values.values())
    )


def rows(base: duckdb.DuckDBPyConnection, series: str) -> list[dict[str, Any]]:
    found = base.execute(load_book().queries[series])
    names = [one[0] for one in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


READ = sorted(set(load_book().queries) - {"late_event_share"})


@pytest.mark.parametrize("series", READ)
def test_a_query_over_empty_tables_counts_nothing_and_has_its_labels(
    base: duckdb.DuckDBPyConnection, series: str
) -> None:
    assert [row for row in rows(base, series) if row["value"]] == []
    names = {one[0] for one in base.execute(load_book().queries[series]).description}
    assert {"value", *load_book().series[series].labels} <= names


def test_the_newest_day_is_compared_with_the_same_weekdays(base: duckdb.DuckDBPyConnection) -> None:
    for weeks, players in enumerate((300, 1000, 1200, 900, 5000)):
        add(base, "active_users", date=YESTERDAY - timedelta(weeks=weeks), dau=players, mau=players * 2)
    add(base, "active_users", date=YESTERDAY - timedelta(days=1), dau=7, mau=7)
    assert [one["value"] for one in rows(base, "dau")] == [300]
    (usual,) = rows(base, "dau_usual")
    assert (usual["value"], usual["days"], usual["date"]) == (1000, 4, YESTERDAY)
    assert [one["value"] for one in rows(base, "mau_usual")] == [2000]


def test_one_day_before_is_not_usual_and_old_days_are_not_new(base: duckdb.DuckDBPyConnection) -> None:
    add(base, "active_users", date=YESTERDAY, dau=5, mau=5)
    add(base, "active_users", date=YESTERDAY - timedelta(weeks=1), dau=5, mau=5)
    assert rows(base, "dau_usual") == []
    base.execute("DELETE FROM active_users WHERE date = ?", [YESTERDAY])
    assert rows(base, "dau") == []


def test_economy_levels_and_retention_are_of_the_newest_day(base: duckdb.DuckDBPyConnection) -> None:
    for day, inflation in ((YESTERDAY, 0.5), (YESTERDAY - timedelta(days=1), 0.1)):
        add(base, "economy_daily", date=day, currency="gems", inflation=inflation, opening_supply=100)
        add(base, "level_metrics", date=day, level_id=7, pass_rate=inflation, attempts=10)
    assert [(one["currency"], one["value"]) for one in rows(base, "economy_inflation")] == [("gems", 0.5)]
    assert [(one["level_id"], one["value"]) for one in rows(base, "level_pass_rate")] == [(7, 0.5)]
    for day_n, cohort, rate in ((1, date(2026, 1, 1), 0.1), (1, date(2026, 1, 2), 0.2), (7, date(2026, 1, 1), 0.05)):
        add(base, "retention", date=YESTERDAY, day_n=day_n, cohort_date=cohort, retention_rate=rate, players=10)
    assert [(one["day_n"], one["value"]) for one in rows(base, "retention_rate")] == [(1, 0.2), (7, 0.05)]


def test_live_rates_are_over_the_newest_ten_minutes(base: duckdb.DuckDBPyConnection) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for back, events in ((0, 30), (9, 70), (10, 1000), (90, 1000)):
        minute = now - timedelta(minutes=back)
        add(base, "events_agg_1min", minute=minute, event_type="player_join", level_id="none", events=events)
        add(base, "revenue_1min", minute=minute, currency="EUR", purchases=events, gross_micros=events * 1_000_000)
    (one,) = rows(base, "game_events_per_minute")
    assert (one["event_type"], float(one["value"])) == ("player_join", 10)
    (one,) = rows(base, "revenue_per_minute")
    assert float(one["value"]) == 10


def test_a_game_that_stopped_has_no_live_rate(base: duckdb.DuckDBPyConnection) -> None:
    minute = datetime.now(UTC) - timedelta(hours=2)
    add(base, "events_agg_1min", minute=minute, event_type="player_join", level_id="none", events=5)
    assert rows(base, "game_events_per_minute") == []
