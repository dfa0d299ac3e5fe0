"""The dashboards for Grafana: committed as generated, and each query names series that something exports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.grafana.build import BOARDS, DATASOURCE, FOLDER, write
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.http_server.metrics import RequestMetrics
from gamestream_dagster.ingest.metrics import Metrics
from gamestream_dagster.monitoring.collect import Collected
from gamestream_dagster.monitoring.exporter import SeriesCollector
from gamestream_dagster.port_block import STANDARD_PORTS
from gamestream_dagster.serving_api.metrics import metrics_of
from gamestream_dagster.settings import PROJECT_ROOT
from tests.support.monitoring import flink_series

DEPLOY = PROJECT_ROOT / "deploy"
BY_PROMETHEUS = {"up"}
"""Series that Prometheus makes itself."""


@cache
def exported() -> frozenset[str]:
    """Names that a scrape of our exporters has, and the list of Flink's."""
    collector = SeriesCollector(load_book(), lambda: Collected(0, ()))
    names = {family.name for family in collector.describe()}
    fake: Any = type("Held", (), {"pinned_rows": 0, "waiting": 0})()
    servers: list[RequestMetrics] = [metrics_of(fake, fake), Metrics(lambda: True, lambda: 0, lambda: 0)]
    for server in servers:
        for family in server.registry.collect():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            names |= {family.name + suffix for suffix in suffixes}
    return frozenset(names | flink_series() | BY_PROMETHEUS)


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "param", "vs", "vector_selector"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def queries() -> list[tuple[str, str, str]]:
    """Board, panel and query, of what is committed."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(FOLDER.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            found += [(path.stem, panel["title"], target["expr"]) for target in panel.get("targets") or ()]
    return found


def test_the_committed_dashboards_are_the_generated_ones(tmp_path: Path) -> None:
    write(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == written, "write them anew: make dashboards"


@pytest.mark.parametrize(("board", "panel", "query"), queries())
def test_each_query_parses_and_names_series_that_are_exported(board: str, panel: str, query: str) -> None:
    named = {one.name for one in selectors(promql_parser.parse(query))}
    assert named, "no series found in it"
    assert named <= exported()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("a / b", {"a", "b"}),
        ("histogram_quantile(0.9, sum by (le) (rate(c_bucket[5m])))", {"c_bucket"}),
        ("topk(3, d) or (1 - avg_over_time(e[6h])) / 2", {"d", "e"}),
        ("-f offset 5m", {"f"}),
    ],
)
def test_every_series_of_a_query_is_found(query: str, named: set[str]) -> None:
    assert {one.name for one in selectors(promql_parser.parse(query))} == named


def test_a_series_that_nothing_exports_is_found_out() -> None:
    assert "kafka_consumer_leg" not in exported()
    assert {
        "kafka_consumer_lag",
        "gamestream_ingest_events_total",
        "gamestream_api_request_seconds_bucket",
    } <= exported()


def test_labels_of_a_query_and_a_legend_are_labels_of_the_series() -> None:
    """Of our own series, whose labels `series.yaml` declares."""
    book = load_book()
    for board in BOARDS:
        for panels in board.rows.values():
            for query in (query for panel in panels for query in panel.queries):
                ours = [one for one in selectors(promql_parser.parse(query.expr)) if one.name in book.series]
                labels = {label for one in ours for label in book.series[one.name].labels}
                used = set(re.findall(r"\{\{(\w+)\}\}", query.legend)) if ours else set()
                used |= {matcher.name for one in ours for matcher in one.matchers.matchers}
                assert used <= labels, query


def test_panels_have_places_of_their_own_and_ids() -> None:
    for path in FOLDER.glob("*.json"):
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        cells: set[tuple[int, int]] = set()
        for place in (panel["gridPos"] for panel in panels):
            assert place["x"] + place["w"] <= 24, path.name
            mine = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                    for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
            assert not mine & cells, (path.name, place)
            cells |= mine


def test_the_provisioning_names_what_the_dashboards_use() -> None:
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/gamestream.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == (DATASOURCE.uid, DATASOURCE.type_val)
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/gamestream.yaml").read_text())["providers"]
    assert provider["type"] == "file"


def test_every_exporter_is_scraped() -> None:
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        address for job in scrape["scrape_configs"] for one in job["static_configs"] for address in one["targets"]
    }
    servers = ("metrics", "ingest", "api", "flink_metrics", "taskmanager_metrics")
    assert targets == {f"127.0.0.1:{STANDARD_PORTS[server]}" for server in servers}
