"""What the assets do with the facades' answers: metadata, checks, and which failures may be tried again."""

from __future__ import annotations

import dagster as dg
import pytest

from gamestream_dagster.archive.writer import ArchiveResult
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.components.flink_job_sensor import INCIDENT_TAG
from gamestream_dagster.flink_jobs.errors import ParkedError, PreflightError
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.incidents import Entry, Incident, IncidentKind, Moment, Noted
from gamestream_dagster.flink_jobs.record.observed import Health, JobState
from tests.support.fakes.dagster_facades import (
    FakeArchive,
    FakeBoards,
    FakeDashboard,
    FakeFlinkJobs,
    FakeProvisioner,
    observed,
)
from tests.support.fakes.dagster_runs import (
    NOW,
    evaluations,
    failure,
    launch,
    metadata,
    provisioned,
    tries,
)


def test_provisioning_ensures_each_resource_once_and_shows_its_figures() -> None:
    provisioner = FakeProvisioner()
    result = launch(*provisioned(), checks=True, provisioner=provisioner)
    assert result.success
    assert len(provisioner.created) == len(set(provisioner.created)) == len(result.get_asset_materialization_events())
    assert all(one.passed for one in evaluations(result).values())


def test_drift_fails_the_check_with_its_facts_and_not_the_run() -> None:
    result = launch(*provisioned(), checks=True, provisioner=FakeProvisioner(["user-score", "top_teams"]))
    assert result.success
    found = evaluations(result)
    topic, table = found["topic/user_score_topic", "as_described"], found["table/top_teams_table", "as_described"]
    assert (topic.passed, topic.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (table.passed, table.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert topic.description == "has 1 partition, should have 4"
    assert topic.metadata["partitions"].value == 1
    assert sum(not one.passed for one in found.values()) == 2


def test_resource_that_cannot_be_looked_at_fails_the_run() -> None:
    result = launch("topic/user_score_topic", provisioner=FakeProvisioner(unknown=["user-score"]))
    assert "Kafka: no answer" in failure(result)


def test_job_says_which_version_runs_from_which_state() -> None:
    jobs = FakeFlinkJobs()
    result = launch("job/leaderboards_v1", checks=True, flink_jobs=jobs)
    assert jobs.applied == ["leaderboards_v1"]
    shown = metadata(result, "job/leaderboards_v1")
    assert shown["flink_job_id"] == f"{1:032x}"
    assert shown["fingerprint"] == "f" * 64
    assert shown["restored_from"] == "the earliest offset"
    assert (shown["checkpoint"], shown["checkpoint_age_seconds"]) == (7, 10.0)
    assert shown["flink_ui"].endswith("/#/job/running/1")
    assert jobs.compared == [None]  # a person started it: no sensor saw the job stand still


@pytest.mark.parametrize("name", ["NONE", "RESUME", "SUSPEND", "REDEPLOY", "ROLLBACK", "KEEP", "REPLAY"])
def test_what_a_person_asks_for_is_in_the_config_of_the_materialisation(name: str) -> None:
    jobs = FakeFlinkJobs()
    config = {"ops": {"job__leaderboards_v1": {"config": {"choice": name}}}}
    assert launch("job/leaderboards_v1", config=config, flink_jobs=jobs).success
    assert jobs.choices == [Choice[name]]


def test_run_of_the_sensor_only_heals() -> None:
    jobs = FakeFlinkJobs()
    launch("job/leaderboards_v1", tags={INCIDENT_TAG: "leaderboards_v1-g1"}, flink_jobs=jobs)
    assert jobs.choices == [Choice.HEAL]


def test_job_shows_the_timeline_of_its_newest_incident() -> None:
    entries = (
        Entry(NOW, 12.0, Moment.SEEN, "FAILED: broken | pipe"),
        Entry(NOW, 30.5, Moment.CHECKPOINT, "checkpoint 1 is complete"),
        Entry(NOW, 30.6, Moment.HEALTHY, "generation 2 runs"),
    )
    jobs = FakeFlinkJobs()
    incident = Incident("leaderboards_v1-i1", "leaderboards_v1", NOW, IncidentKind.FAILED, "broken", NOW, 1, entries)
    jobs.noted = Noted(incident=incident)
    shown = metadata(launch("job/leaderboards_v1", flink_jobs=jobs), "job/leaderboards_v1")
    assert shown["incident"] == "leaderboards_v1-i1: FAILED, healthy, 1 submissions"
    assert (shown["seconds_to_seen"], shown["seconds_to_back"]) == (12.0, 30.5)
    assert "| 12.0000 | seen | FAILED: broken \\| pipe |" in shown["incident_timeline"]


@pytest.mark.parametrize(
    ("state", "passed", "severity"),
    [
        (JobState.RUNNING, True, dg.AssetCheckSeverity.ERROR),
        (JobState.FAILED, False, dg.AssetCheckSeverity.ERROR),
        (JobState.ABSENT, False, dg.AssetCheckSeverity.ERROR),
        (JobState.UNKNOWN, False, dg.AssetCheckSeverity.WARN),
    ],
)
def test_health_check_follows_what_flink_says(state: JobState, passed: bool, severity: dg.AssetCheckSeverity) -> None:
    jobs = FakeFlinkJobs({"leaderboards_v1": observed("leaderboards_v1", state)})
    found = evaluations(launch("job/leaderboards_v1", checks=True, flink_jobs=jobs))["job/leaderboards_v1", "healthy"]
    assert (found.passed, found.severity) == (passed, severity)


def test_sick_job_fails_its_check_though_it_says_running() -> None:
    jobs = FakeFlinkJobs({"leaderboards_v1": observed("leaderboards_v1", health=Health.NO_CHECKPOINT)})
    assert not evaluations(launch("job/leaderboards_v1", checks=True, flink_jobs=jobs))[
        "job/leaderboards_v1", "healthy"
    ].passed


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (PreflightError("no slots are free; start a TaskManager"), True),
        (TransientServiceError("Flink", "no answer", "wait"), True),
        (ParkedError("the plan differs; choose"), False),
        (TerminalServiceError("Flink", "refused", "mend"), False),
        (KeyError("a fault of ours"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_transient_errors_are_tried_again(error: Exception, retried: bool) -> None:
    jobs = FakeFlinkJobs(apply_error=error)
    result = launch("job/leaderboards_v1", flink_jobs=jobs)
    assert not result.success
    assert "Could not apply the job leaderboards_v1" in failure(result)
    assert len(jobs.applied) == tries(result) == (3 if retried else 1)


def test_board_shows_its_rows_with_names_made_harmless() -> None:
    result = launch("board/top_teams", boards=FakeBoards("x|<script>\n[a](b)"))
    shown = metadata(result, "board/top_teams")
    assert shown["dagster/row_count"] == 1
    assert "| 1 | x\\|&lt;script&gt; \\[a\\](b) |" in shown["rows"]


def test_archive_shows_the_range_of_each_partition() -> None:
    archived = ArchiveResult("user-score", {0: 5}, {0: 15, 1: 4}, 14, 2, 2, 0, 0.5)
    shown = metadata(launch("archive/user_score_archive", archive=FakeArchive(archived)), "archive/user_score_archive")
    assert (shown["new_records"], shown["new_refused"], shown["records_per_second"]) == (14, 2, 28)
    assert (shown["dagster/row_count"], shown["records"], shown["files"]) == (1020, 1014, 12)
    assert "| 0 | 5 | 15 | 10 |" in shown["ranges"]
    assert "| 1 | 0 | 4 | 4 |" in shown["ranges"]


def test_page_that_is_down_warns_and_the_run_goes_on() -> None:
    result = launch("serving/leaderboards_page", checks=True, dashboard=FakeDashboard("no answer (ConnectError)"))
    assert result.success
    found = evaluations(result)["serving/leaderboards_page", "answers"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["url"].value == "http://127.0.0.1:8501"
