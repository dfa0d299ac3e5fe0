from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.observe.observer import observe, same_path
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.observed import Health, JobState, RestoreFacts, RestoreKind
from tests.support.fakes.flink import FakeFlink, FakeJob

NAME = "totals_v1@ffffffff-g1"
RECORD = Deployment("totals_v1-g1", "totals_v1", 1, "f" * 64, "id1", DeploymentState.RUNNING, "savepoint")


def cluster(*jobs: FakeJob) -> FakeFlink:
    flink = FakeFlink()
    flink.all = {job.job_id: job for job in jobs}
    return flink


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (FlinkState.CREATED, JobState.STARTING),
        (FlinkState.RUNNING, JobState.RUNNING),
        (FlinkState.RESTARTING, JobState.RESTARTING),
        (FlinkState.FAILING, JobState.RESTARTING),
        (FlinkState.CANCELLING, JobState.STOPPING),
        (FlinkState.CANCELED, JobState.CANCELED),
        (FlinkState.FAILED, JobState.FAILED),
        (FlinkState.FINISHED, JobState.FINISHED),
    ],
)
def test_every_state_of_flink_has_one_of_ours(state: FlinkState, expected: JobState) -> None:
    seen = observe(cluster(FakeJob("id1", NAME, state)), "totals_v1", RECORD)
    assert seen.state is expected
    assert (seen.health is Health.NOT_LIVE) == (not expected.live)


def test_every_flink_state_is_known() -> None:
    for state in FlinkState:
        assert observe(cluster(FakeJob("id1", NAME, state)), "totals_v1", RECORD).state is not JobState.UNKNOWN


def test_no_answer_is_unknown() -> None:
    seen = observe(FakeFlink(silent=True), "totals_v1", RECORD)
    assert (seen.state, seen.health) == (JobState.UNKNOWN, Health.NOT_LIVE)
    assert "no answer" in seen.detail


def test_jobs_of_other_names_are_not_ours() -> None:
    flink = cluster(FakeJob("x", "totals_v10@ffffffff-g1"), FakeJob("y", "insert-into"))
    assert observe(flink, "totals_v1", None).state is JobState.ABSENT


def test_the_recorded_job_is_the_one_and_the_other_a_duplicate() -> None:
    flink = cluster(FakeJob("id0", NAME, started_ms=1), FakeJob("id1", NAME, started_ms=2))
    seen = observe(flink, "totals_v1", RECORD)
    assert seen.flink_job_id == "id1"
    assert [one.flink_job_id for one in seen.duplicates] == ["id0"]


def test_without_a_record_the_older_one_stays() -> None:
    flink = cluster(FakeJob("id1", NAME, started_ms=2), FakeJob("id0", NAME, started_ms=1))
    assert observe(flink, "totals_v1", None).flink_job_id == "id0"


def test_the_savepoint_of_the_stop_is_the_newest_state() -> None:
    record = replace(RECORD, savepoint_path="file:/sp/1")
    seen = observe(cluster(FakeJob("id1", NAME, FlinkState.FINISHED)), "totals_v1", record)
    assert seen.restore is not None
    assert (seen.restore.path, seen.restore.kind) == ("file:/sp/1", RestoreKind.SAVEPOINT)


def test_what_it_was_started_from_counts_when_it_completed_nothing() -> None:
    record = replace(RECORD, restore_path="file:/sp/0")
    seen = observe(cluster(FakeJob("id1", NAME, FlinkState.FAILED, checkpoints=0)), "totals_v1", record)
    assert seen.restore is not None
    assert seen.restore.kind is RestoreKind.INHERITED


def test_a_restart_loop_is_seen_though_the_job_says_running() -> None:
    seen = observe(cluster(FakeJob("id1", NAME, failures=6)), "totals_v1", RECORD)
    assert seen.health is Health.LOOPING
    assert "6 failures" in seen.health_reason
    assert "broken pipe" in seen.health_reason


def test_waiting_for_a_lost_task_manager_is_not_a_loop() -> None:
    """One killed worker shows as one cause and several tries to start without slots (seen on Flink 2.3.0)."""
    seen = observe(cluster(FakeJob("id1", NAME, failures=1, waits=8)), "totals_v1", RECORD)
    assert seen.health is Health.HEALTHY
    assert seen.detail == "broken pipe"


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        (DeploymentState.RUNNING, True),
        (DeploymentState.LOST, True),
        (DeploymentState.FAILED, False),
        (DeploymentState.CANCELED, False),
        (DeploymentState.SUSPENDED, False),
    ],
)
def test_only_a_job_whose_end_was_never_seen_was_lost_with_its_cluster(state: DeploymentState, lost: bool) -> None:
    assert observe(cluster(), "totals_v1", replace(RECORD, state=state)).cluster_lost is lost
    assert not observe(cluster(FakeJob("id1", NAME, FlinkState.FAILED)), "totals_v1", RECORD).cluster_lost


def test_the_restore_point_is_looked_at_where_this_machine_can(tmp_path: Path) -> None:
    savepoint = tmp_path / "sp" / "savepoint-1"
    record = replace(RECORD, savepoint_path=savepoint.as_uri())
    assert observe(cluster(), "totals_v1", record, tmp_path).restore_facts == RestoreFacts(exists=False)
    savepoint.mkdir(parents=True)
    (savepoint / "_metadata").touch()
    os.utime(savepoint / "_metadata", (time.time() - 7200, time.time() - 7200))
    facts = observe(cluster(), "totals_v1", record, tmp_path).restore_facts
    assert facts is not None
    assert facts.exists
    assert facts.age_hours == pytest.approx(2, abs=0.1)
    elsewhere = replace(RECORD, savepoint_path="s3://bucket/sp/1")
    assert observe(cluster(), "totals_v1", elsewhere, tmp_path).restore_facts is None
    assert observe(cluster(), "totals_v1", record, None).restore_facts is None


def test_paths_are_compared_by_place() -> None:
    assert same_path("file:/a/b", "file:///a/b/")
    assert same_path("/a/b", "file:/a/b")
    assert not same_path("file:/a/b", "file:/a/c")
    assert not same_path("s3://x/a", "file:/x/a")
    assert not same_path(None, None)
