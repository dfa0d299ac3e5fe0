"""What is scraped from real servers: Flink's reporter on 127.0.0.1, and the exporter."""

from __future__ import annotations

import re

import httpx
import psutil
import pytest

from deploy.grafana.build import BOARDS
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.monitoring.collect import SOURCES, collect
from tests.integration.conftest import Boards
from tests.support.monitoring import flink_series, names_of

pytestmark = [pytest.mark.integration, pytest.mark.any_boards]

FLINK_PORTS = ("flink_metrics", "taskmanager_metrics")
NOT_STARTED = {"dagster"}
"""Sources of servers that the tests' stack does not start."""


def test_flink_serves_every_series_that_a_panel_names_on_127_0_0_1_alone(boards: Boards) -> None:
    settings = boards.settings
    served: set[str] = set()
    for name in FLINK_PORTS:
        address = f"http://127.0.0.1:{settings.port(name)}/metrics"
        served |= names_of(httpx.get(address, timeout=30, trust_env=False).text)
    queries = " ".join(
        query.expr for board in BOARDS for row in board.rows.values() for one in row for query in one.queries
    )
    named = set(re.findall(r"flink_(?:jobmanager|taskmanager)_\w+", queries))
    assert named
    assert named <= served
    assert named <= flink_series()
    ports = {settings.port(name) for name in FLINK_PORTS}
    listening = [one.laddr for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.laddr]
    assert {ip.removeprefix("::ffff:") for ip, port in listening if port in ports} == {"127.0.0.1"}


def test_every_source_answers_and_gives_declared_series_only(boards: Boards) -> None:
    collected = collect(boards.settings)
    assert set(collected.failed) <= NOT_STARTED, collected.failed
    assert set(SOURCES) - NOT_STARTED <= set(SOURCES) - set(collected.failed)
    book = load_book()
    for sample in collected.samples:
        assert {name for name, _ in sample.labels} <= set(book.series[sample.series].labels), sample.series
    # the tests' stack has neither of the HTTP APIs
    down = [one for one in collected.samples if one.series == "http_server_up"]
    assert {dict(one.labels)["server"]: one.value for one in down} == {"ingest": 0, "api": 0}
