"""The page Game: every settled metric by its shape, from the catalogue alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gamestream_dagster.catalogue.metrics import Metric, MetricType, load_metrics
from gamestream_dagster.dashboard.markup import panels as drawn
from gamestream_dagster.dashboard.metric_values import number
from gamestream_dagster.dashboard.pages.game.settled import Settled, Standing
from gamestream_dagster.dashboard.pages.game.shapes import Shape, Shown, shape_of, shown
from gamestream_dagster.dashboard.pages.game.view import panels, tiles
from gamestream_dagster.dashboard.pages.manual.texts import text_of
from gamestream_dagster.dashboard.parts import Chart, Note, Panel, Table, Tone

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
DAY = date(2026, 11, 25)
METRICS = load_metrics()
SHOWN = shown(METRICS)
VALUES: dict[MetricType, Any] = {
    MetricType.BIGINT: 7,
    MetricType.DOUBLE: 0.25,
    MetricType.DECIMAL: Decimal("12.500000"),
    MetricType.STRING: "<script>x</script>",
    MetricType.DATE: DAY,
    MetricType.TIMESTAMP: NOW,
    MetricType.JSON: {},
}


def row(metric: Metric, **values: Any) -> dict[str, Any]:
    return {name: VALUES[column.type] for name, column in metric.columns.items()} | values


def one(name: str) -> Shown:
    return next(each for each in SHOWN if each.metric.name == name)


def rows_of(each: Shown) -> list[dict[str, Any]]:
    metric, day = each.metric, each.metric.partition
    if each.shape is Shape.SERIES:
        return [row(metric, **{day: DAY - timedelta(days=back)}) for back in reversed(range(30))]
    if each.shape is Shape.COHORTS:
        return [row(metric, **{each.cohort: DAY - timedelta(days=back), each.age: back}) for back in range(20)]
    return [row(metric, **dict.fromkeys(each.dimensions, value)) for value in range(5)]


def stands(**values: Any) -> Standing:
    return replace(Standing(DAY, 1, NOW - timedelta(hours=10), 5, 0, ()), **values)


def settled(**values: Any) -> Settled:
    everything = {each.metric.name: rows_of(each) for each in SHOWN}
    return Settled(NOW, frozenset(), {name: stands() for name in everything}, everything, **values)


def page(found: Settled) -> dict[str, Panel]:
    return {each.name: each for each in panels(found, SHOWN)}


def test_metrics_about_players_or_events_are_not_shown_and_all_others_are() -> None:
    names = {each.metric.name for each in SHOWN}
    assert {"active_users", "revenue_daily", "retention", "level_metrics", "economy_daily"} <= names
    hidden = set(METRICS) - names
    assert {"events", "user_daily_metrics", "wallets", "installs"} <= hidden
    # a feature store repeats the columns of the metric that it is made of
    assert {name for name in hidden if not any("user" in key for key in METRICS[name].key)} == {"level_features"}


def test_each_shape_follows_from_the_key() -> None:
    shapes = {each.metric.name: each.shape for each in SHOWN}
    assert shapes["active_users"] is Shape.SERIES
    assert shapes["retention"] is shapes["ltv_by_cohort"] is Shape.COHORTS
    assert shapes["level_metrics"] is shapes["feature_engagement_daily"] is Shape.TABLE
    assert (one("revenue_daily").main, one("active_users").main, one("retention").main) == (
        "gross_usd",
        "dau",
        "retention_rate",
    )


@pytest.mark.parametrize("each", SHOWN, ids=lambda each: each.metric.name)
def test_every_metric_is_drawn_with_its_day_version_and_definition(each: Shown) -> None:
    panel = page(settled())[each.metric.name]
    html = drawn("dark", [], [panel])
    assert "25 Nov 2026 · v1" in html
    assert "<script" not in html
    link = panel.links[0].href
    assert text_of(link.removeprefix("manual?page=")), link


def commands(found: Settled) -> set[str]:
    return {part.command for each in page(found).values() for part in each.parts if isinstance(part, Note)}


def test_before_the_first_day_every_panel_says_what_to_do() -> None:
    [command] = commands(Settled(NOW))
    assert "metrics backfill" in command
    assert commands(Settled(NOW, frozenset({"metric_settlements"}))) == {"gamestream apply"}
    assert tiles(Settled(NOW), SHOWN) == []


def test_a_day_without_rows_is_a_fact_and_no_gap() -> None:
    found = page(Settled(NOW, standing={"retention": stands(rows=0)}))["retention"]
    [note] = found.parts
    assert isinstance(note, Note)
    assert "settled with no row" in note.text


def test_a_new_version_an_old_day_and_failed_checks_are_told() -> None:
    found = settled()
    standing = {**found.standing, "active_users": stands(version=3, late_events=12, failed_checks=("sums_fit",))}
    standing["retention"] = stands(day=DAY - timedelta(days=9))
    told = page(replace(found, standing=standing))
    day, checks = told["active_users"].badges
    assert "v3" in day.label
    assert "12 of its events" in day.hint
    assert (checks.tone, checks.hint) == (Tone.BAD, "sums_fit")
    assert told["retention"].badges[0].tone is Tone.WARN


def test_a_day_that_was_not_settled_is_a_gap_that_says_so() -> None:
    found = settled()
    rows = [each for each in rows_of(one("active_users")) if each["date"] != DAY - timedelta(days=3)]
    chart = page(replace(found, rows={**found.rows, "active_users": rows}))["active_users"].parts[0]
    assert isinstance(chart, Chart)
    assert len(chart.bars) == 30
    assert "not settled" in chart.bars[-4].hint


def test_a_tile_compares_with_the_same_weekday() -> None:
    rows = rows_of(one("active_users"))
    rows[-1]["dau"] = 14
    found = settled()
    tile = tiles(replace(found, rows={**found.rows, "active_users": rows}), SHOWN)[0]
    assert (tile.value, "▲ 100.0 % in a week" in tile.about) == ("14", True)
    rows[-8]["dau"] = 0
    assert "week" not in tiles(replace(found, rows={**found.rows, "active_users": rows}), SHOWN)[0].about


def test_retention_is_a_triangle() -> None:
    metric = METRICS["retention"]
    rows = [
        row(metric, cohort_date=DAY - timedelta(days=back), day_n=n, retention_rate=n / 10, players=100 + back)
        for back in range(10)
        for n in (1, 3, 7)
        if n <= back
    ]
    found = settled()
    [table] = page(replace(found, rows={**found.rows, "retention": rows}))["retention"].parts
    assert isinstance(table, Table)
    assert [column.title for column in table.columns] == ["cohort", "players", "D1", "D3", "D7"]
    newest, oldest = table.rows[0], table.rows[-1]
    assert [cell.text for cell in newest][1:] == ["101", "10.0 %", "", ""]
    assert [cell.text for cell in oldest][1:] == ["109", "10.0 %", "30.0 %", "70.0 %"]
    assert oldest[-1].heat == 1.0


def test_what_a_cohort_paid_is_a_line_by_age() -> None:
    [chart] = page(settled())["ltv_by_cohort"].parts
    assert isinstance(chart, Chart)
    assert (len(chart.bars), chart.first, chart.last) == (20, "day 0", "day 19")


def test_rows_that_were_left_out_are_told() -> None:
    rows = [row(METRICS["level_metrics"], level_id=level, pass_rate=level / 200) for level in range(200)]
    found = settled()
    standing = {**found.standing, "level_metrics": stands(rows=300)}
    rows_by = {**found.rows, "level_metrics": rows}
    chart, table = page(replace(found, rows=rows_by, standing=standing))["level_metrics"].parts
    assert isinstance(chart, Chart)
    assert (len(chart.bars), chart.bars[100].hint) == (200, "level id 100: pass rate 50.0 %")
    assert isinstance(table, Table)
    assert table.more == "288 more rows: gamestream metrics show level_metrics --day 2026-11-25"


def test_values_are_shown_in_their_unit() -> None:
    money, share = METRICS["revenue_daily"].columns["net_usd"], METRICS["level_metrics"].columns["pass_rate"]
    moves = METRICS["level_metrics"].columns["avg_moves"]
    supply = METRICS["economy_daily"].columns["earned"]
    assert [number(money, Decimal(value)) for value in ("1204.5", "-3")] == ["$1,204.50", "-$3.00"]
    assert [number(share, value) for value in (0.412, None)] == ["41.2 %", "–"]
    assert [number(moves, 3.14159), number(supply, Decimal("9000.000000"))] == ["3.14", "9,000"]


def test_a_metric_without_numbers_has_no_panel() -> None:
    assert shape_of(METRICS["installs"]) is None
