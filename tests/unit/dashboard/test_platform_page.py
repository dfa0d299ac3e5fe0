"""The page Platform: each source in its own panel, whatever the others say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.alerts.overview import Line, Overview
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.catalogue.topics import load_topics
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.flink_types import (
    CheckpointInfo,
    CheckpointSize,
    CheckpointSummary,
    ClusterOverview,
    FlinkState,
    JobOverview,
)
from gamestream_dagster.dashboard.markup import panels as drawn
from gamestream_dagster.dashboard.pages.platform import looks
from gamestream_dagster.dashboard.pages.platform.looks import FlinkLook, JobLook, Platform, Records, TopicLook
from gamestream_dagster.dashboard.pages.platform.view import Wanted, lags, panels, tiles
from gamestream_dagster.dashboard.parts import Note, Panel, Table, Tone
from gamestream_dagster.dashboard.reading import Background, Problem, look_at
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.platform.service import ServiceState, ServiceStatus
from gamestream_dagster.settings import TopicProfile

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MS = int(NOW.timestamp() * 1000)
WANTED = Wanted(load_jobs(FLINK_SQL_DIR), load_topics(TopicProfile.LAPTOP))
AWAY = Problem("Kafka does not answer", "Nothing listens.", "gamestream status")


def job(name: str, state: FlinkState = FlinkState.RUNNING) -> JobLook:
    one = JobOverview(f"id-{name}", f"{name}@aaaaaaaa-g1", state, MS - 3_600_000, None)
    if state.ended:
        return JobLook(one, name, None, None)
    newest = CheckpointInfo(41, "file:/chk-41", False, True, MS - 6_000, MS - 5_000)
    summary = CheckpointSummary(41, 2, 0, newest, None, None, None, (newest,))
    return JobLook(one, name, summary, CheckpointSize(2048, 300, {}))


def look(**parts: Any) -> Platform:
    flink = FlinkLook(ClusterOverview("2.3.0", 1, 10, 4), {name: job(name) for name in WANTED.jobs})
    topics = [TopicLook(name, {0: (0, 100), 1: (50, 100)}, 4096) for name in WANTED.topics]
    positions = [{"job": "leaderboards_v1", "topic": "user-score", "partition_id": 0, "last_offset": 59}]
    values = {
        "services": [ServiceStatus("kafka", ServiceState.HEALTHY, 1, 9092, 1 << 20, 60.0, "127.0.0.1:9092", "")],
        "topics": topics,
        "flink": flink,
        "records": Records(frozenset(), {}, {}, positions, Overview((), NOW.timestamp(), {})),
    }
    return Platform(NOW, **{**values, **parts})


def page(seen: Platform) -> dict[str, Panel]:
    return {one.name: one for one in panels(seen, WANTED, "http://flink")}


def tile(seen: Platform, label: str) -> tuple[str, Tone]:
    found = next(one for one in tiles(seen, WANTED) if one.label == label)
    return found.value, found.tone


def rows(panel: Panel) -> list[list[str]]:
    return [[cell.text for cell in row] for part in panel.parts if isinstance(part, Table) for row in part.rows]


def test_a_platform_that_is_well_is_green() -> None:
    seen = look()
    assert {one.tone for one in tiles(seen, WANTED)} == {Tone.GOOD, Tone.PLAIN}
    assert drawn("dark", tiles(seen, WANTED), list(page(seen).values()))
    assert rows(page(seen)["jobs"])[0][1] == "running"
    assert "Nothing fires" in drawn("auto", [], [page(seen)["alerts"]])


@pytest.mark.parametrize("name", ["services", "topics", "flink", "records"])
def test_a_source_that_is_away_is_told_in_its_panel_and_leaves_the_others(name: str) -> None:
    seen = look(**{name: AWAY})
    html = drawn("auto", tiles(seen, WANTED), list(page(seen).values()))
    assert "Kafka does not answer" in html
    others = {"services": "kafka", "topics": "user-score", "flink": "leaderboards_v1"}
    for other in set(others) - {name}:
        assert any(others[other] in row[0] for row in rows(page(seen)[{"flink": "jobs"}.get(other, other)])), other


def test_a_source_that_hangs_costs_the_page_only_its_patience_and_is_asked_once() -> None:
    released, asked = threading.Event(), []

    def hang() -> str:
        asked.append(1)
        released.wait(20)
        return "late"

    source = Background("Kafka", hang)
    for _ in range(3):
        found = source.ask()(0.05)
        assert isinstance(found, Problem)
        assert found.title == "Kafka does not answer"
    released.set()
    assert source.ask()(20) == "late"
    assert len(asked) in (1, 2)


def test_an_error_of_a_client_is_a_problem_with_a_command() -> None:
    def fail() -> None:
        raise TransientServiceError("Flink", "nothing answers at x", "see y")

    assert look_at(fail) == Problem("Flink does not answer", "Nothing answers at x.", "gamestream status")


def test_lag_is_what_no_partition_has_read_and_retention_has_not_deleted() -> None:
    found = lags(look())
    assert isinstance(found, list)
    [line] = found
    # p0: read up to 60 of 100; p1: nothing counted, 50 to 100 is left
    assert (line.lag, line.worst) == (90, (1, 50))
    unknown = lags(look(topics=[TopicLook("user-score", {0: (0, 100), 1: None}, None)]))
    assert isinstance(unknown, list)
    assert unknown[0].lag is None


def test_jobs_that_do_not_run_are_red_or_say_that_they_are_not_deployed() -> None:
    ended = look(
        flink=FlinkLook(
            ClusterOverview("2.3.0", 1, 10, 4), {"leaderboards_v1": job("leaderboards_v1", FlinkState.FAILED)}
        )
    )
    assert tile(ended, "Jobs")[1] is Tone.BAD
    states = {row[0]: row[1] for row in rows(page(ended)["jobs"])}
    assert (states["leaderboards_v1"], states["hot_streaks_v1"]) == ("failed", "not deployed")
    last = {"generation": 3, "fingerprint": "abcdef0123", "state": "PARKED", "outcome": "x", "reason": "no savepoint"}
    parked = Records(frozenset(), {"hot_streaks_v1": last}, {}, (), None)
    seen = look(flink=FlinkLook(ClusterOverview("2.3.0", 0, 0, 0), {}), records=parked)
    states = {row[0]: row[1:3] for row in rows(page(seen)["jobs"])}
    assert states["hot_streaks_v1"] == ["parked", "g3"]
    assert "no savepoint" in drawn("auto", [], [page(seen)["jobs"]])


def test_a_firing_alert_links_its_runbook() -> None:
    line = Line(
        "a",
        "high_kafka_lag",
        "firing",
        "critical",
        NOW.timestamp() - 90,
        2e5,
        "lag",
        "",
        "docs/runbooks/high_kafka_lag.md",
    )
    fires = look(records=Records(frozenset(), {}, {}, (), Overview((line,), NOW.timestamp(), {"chat": 2})))
    assert tile(fires, "Alerts") == ("1", Tone.BAD)
    html = drawn("auto", [], [page(fires)["alerts"]])
    assert 'href="manual?page=runbooks/high_kafka_lag"' in html
    assert "2 messages of the route chat" in html
    old = look(records=Records(frozenset(), {}, {}, (), Overview((line,), NOW.timestamp() - 3600, {})))
    assert any(isinstance(one, Note) and "1 h ago" in one.text for one in page(old)["alerts"].parts)


def test_servers_that_are_stopped_are_started_and_failed_ones_have_a_log() -> None:
    def status(name: str, state: ServiceState) -> ServiceStatus:
        return ServiceStatus(name, state, None, None, None, None, "", "")

    stopped = page(look(services=[status("kafka", ServiceState.STOPPED)]))["services"]
    assert "gamestream up" in drawn("auto", [], [stopped])
    both = [status("kafka", ServiceState.STOPPED), status("postgres", ServiceState.FAILED)]
    html = drawn("auto", [], [page(look(services=both))["services"]])
    assert "gamestream logs postgres" in html


def test_bytes_on_disk_are_those_of_the_partitions(tmp_path: Path) -> None:
    for name in ("user-score-0", "user-score-1", "other-12"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.log").write_bytes(b"x" * 8192)
    (tmp_path / "meta.properties").write_text("", encoding="utf-8")
    (tmp_path / "no-partition").mkdir()
    found = looks.octets_by_topic(tmp_path)
    assert set(found) == {"user-score", "other"}
    assert found["user-score"] == 2 * found["other"] > 0


def test_topics_that_nobody_described_are_told_and_missing_ones_too() -> None:
    html = drawn("auto", [], [page(look(topics=[TopicLook("strange", {0: None}, None)]))["topics"]])
    assert "not described in topics.yaml" in html
    assert "no leader: p0" in html
    assert "gamestream apply" in html
