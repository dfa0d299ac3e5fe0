"""`gamestream exporter`: the names and labels of series.yaml, and one collection for scrapes that come together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from gamestream_dagster.alerts.export import RAISED
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.monitoring import exporter
from gamestream_dagster.monitoring.collect import Collected
from gamestream_dagster.monitoring.exporter import FRESH_SECONDS, SeriesCollector, serve
from gamestream_dagster.settings import Settings


class Asked:
    """Counts how often the servers are asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Collected:
        self.times += 1
        lag = Sample("kafka_consumer_lag", labels_of({"flink_job": 'a"b\\c'}), 0.0, float(self.times))
        return Collected(0.0, (lag, Sample(RAISED, labels_of({"alert_id": "job/a"}), 0.0, 1.0)))


def test_a_scrape_has_every_series_by_name_and_no_sample_of_a_silent_source() -> None:
    found = {family.name: family for family in SeriesCollector(load_book(), Asked()).collect()}
    assert set(found) == {*load_book().series, RAISED}
    (lag,) = found["kafka_consumer_lag"].samples
    assert (lag.labels, lag.value) == ({"flink_job": 'a"b\\c'}, 1.0)
    assert found["hours_since_last_event"].samples == []


def test_scrapes_within_15_seconds_share_a_collection() -> None:
    asked, now = Asked(), [100.0]
    collector = SeriesCollector(load_book(), asked, lambda: now[0])
    for at, times in ((100.0, 1), (100.0 + FRESH_SECONDS, 1), (101.0 + FRESH_SECONDS, 2)):
        now[0] = at
        list(collector.collect())
        assert asked.times == times


def test_registering_asks_no_server() -> None:
    asked = Asked()
    assert {family.name for family in SeriesCollector(load_book(), asked).describe()} == {*load_book().series, RAISED}
    assert asked.times == 0


def test_the_server_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        exporter, "SOURCES", {"kafka": lambda *_: [Sample("hours_since_last_event", labels_of({"topic": "a"}), 0, 2.0)]}
    )
    monkeypatch.setattr(exporter, "raised", lambda *_: [])
    server, thread = serve(Settings(home=tmp_path), lambda ask: ask(), 0)
    try:
        assert server.server_address[0] == "127.0.0.1"
        text = httpx.get(f"http://127.0.0.1:{server.server_port}/metrics", trust_env=False).text
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    found: dict[str, Any] = {family.name: family for family in families(text)}
    (sample,) = found["hours_since_last_event"].samples
    assert (sample.labels, sample.value) == ({"topic": "a"}, 2.0)
    assert {one.labels["source"]: one.value for one in found["alert_source_up"].samples} == {"kafka": 1, "raised": 1}
