"""The drift sensor: what it tells, when it is silent, and that a server that hangs does not hold it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import dagster as dg
import orjson
import pytest

from gamestream_dagster.components import drift_sensor
from gamestream_dagster.components.drift_sensor import tick
from gamestream_dagster.components.keys import table_key, topic_key
from gamestream_dagster.definitions import defs
from gamestream_dagster.provisioning.model import ResourceKind, ResourceStatus
from tests.support.fakes.dagster_facades import FakeProvisioner

WATCHED = {
    ResourceKind.TOPIC: {name: topic_key(name) for name in ("user-score", "top-teams")},
    ResourceKind.TABLE: {"top_teams": table_key("top_teams")},
}


def told(result: dg.SensorResult) -> list[tuple[str, str]]:
    return [(type(event).__name__, event.asset_key.to_user_string()) for event in result.asset_events]


def test_each_resource_is_told_of_once_and_then_only_when_it_changes() -> None:
    first = tick(WATCHED, FakeProvisioner(), None)
    assert len(first.asset_events) == 6  # an observation and a check's result each
    again = tick(WATCHED, FakeProvisioner(), first.cursor)
    assert again.asset_events == []
    assert again.skip_reason.skip_message == "All as described."

    drifted = tick(WATCHED, FakeProvisioner(drifted=["user-score"]), again.cursor)
    assert told(drifted) == [
        ("AssetObservation", "topic/user_score_topic"),
        ("AssetCheckEvaluation", "topic/user_score_topic"),
    ]
    check = drifted.asset_events[1]
    assert (check.check_name, check.passed, check.severity) == ("as_described", False, dg.AssetCheckSeverity.WARN)
    assert "should have 4" in check.description
    assert "topic/user-score" in drifted.skip_reason.skip_message
    assert tick(WATCHED, FakeProvisioner(drifted=["user-score"]), drifted.cursor).asset_events == []

    mended = tick(WATCHED, FakeProvisioner(), drifted.cursor)
    assert [event.passed for event in mended.asset_events if isinstance(event, dg.AssetCheckEvaluation)] == [True]


def test_no_answer_changes_nothing_and_is_said() -> None:
    first = tick(WATCHED, FakeProvisioner(drifted=["user-score"]), None)
    silent = tick(WATCHED, FakeProvisioner(unknown=["user-score", "top-teams"]), first.cursor)
    assert silent.asset_events == []
    assert "Could not look at the topics: Kafka: no answer" in silent.skip_reason.skip_message
    assert orjson.loads(silent.cursor) == orjson.loads(first.cursor)
    assert tick(WATCHED, FakeProvisioner(drifted=["user-score"]), silent.cursor).asset_events == []


def test_a_server_that_hangs_does_not_hold_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_sensor, "TICK_SECONDS", 0.5)
    released = threading.Event()

    class Hanging(FakeProvisioner):
        def observe(self, kind: ResourceKind, names: Sequence[str]) -> list[ResourceStatus]:
            assert kind is not ResourceKind.TOPIC or released.wait(30)
            return super().observe(kind, names)

    began = time.monotonic()
    result = tick(WATCHED, Hanging(), None)
    took = time.monotonic() - began
    released.set()
    assert took < 10
    assert "Could not look at the topics" in result.skip_reason.skip_message


def test_boards_archive_and_proof_have_a_freshness_policy() -> None:
    graph = defs().get_repository_def().asset_graph
    fresh = {node.key.path[0] for node in graph.asset_nodes if node.freshness_policy}
    assert fresh == {"board", "archive", "reconciliation"}
    boards = [node for node in graph.asset_nodes if node.key.path[0] == "board"]
    assert boards
    assert all(node.freshness_policy for node in boards)
