"""What the assets do with the facades' answers: metadata, checks, and which failures may be tried again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

import dagster as dg
import pytest

from gamestream_dagster.archive.writer import ArchiveResult
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.flink_jobs.errors import ParkedError, PreflightError
from gamestream_dagster.flink_jobs.observed import Health, JobState
from gamestream_dagster.reconciliation.model import (
    BoardResult,
    Difference,
    DifferenceKind,
    JobCut,
    LedgerBalance,
    Mode,
    ReconciliationRun,
    Sink,
    Verdict,
)
from gamestream_dagster.resources.verdicts import DifferenceSample, LastReconciliation
from quality.results import Severity
from tests.fakes.dagster_facades import (
    FakeArchive,
    FakeBoards,
    FakeDashboard,
    FakeFlinkJobs,
    FakeProvisioner,
    FakeQuality,
    FakeReconciler,
    FakeVerdicts,
    observed,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIFFERENCE = Difference(
    board="top_teams",
    sink=Sink.POSTGRES,
    kind=DifferenceKind.VALUE,
    rank=1,
    entity=("t1",),
    column="total_score",
    streamed=5,
    recomputed=4,
    explanation="no cut gives 5",
)


def reconciled(verdict: Verdict, reason: str = "", ledger: LedgerBalance | None = None) -> ReconciliationRun:
    differences = (DIFFERENCE,) if verdict is Verdict.DIFFERENT else ()
    return ReconciliationRun(
        run_id="r1",
        mode=Mode.BRACKET,
        verdict=verdict,
        reason=reason,
        started_at=NOW,
        seconds=1.5,
        boards=(BoardResult("top_teams", Sink.POSTGRES, 10, differences),),
        jobs=(JobCut("leaderboards_v1", "f" * 32, "abcd", 7, {0: 10, 1: 20}),),
        high={0: 12, 1: 20},
        bracket_events=2,
        ledger=ledger,
    )


def last(verdict: str, **boards: DifferenceSample) -> LastReconciliation:
    return LastReconciliation("r1", NOW, verdict, "no checkpoint", "/reports/r1.html", boards)


class QuickClock:
    """A clock that a sleep moves on at once, so that the pauses between tries cost nothing."""

    def __init__(self) -> None:
        self.slept = 0.0

    def time(self) -> float:
        return time.time() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture(autouse=True)
def _no_pause_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._core.execution.plan import active

    monkeypatch.setattr(active, "time", QuickClock())


@cache
def project() -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The project's own definitions."""
    from gamestream_dagster.definitions import defs

    found = defs()
    assets = [one for one in found.assets or [] if isinstance(one, dg.AssetsDefinition)]
    return assets, list(found.asset_checks or [])


def launch(*assets: str, checks: bool = False, **fakes: Any) -> dg.ExecuteInProcessResult:
    """Run assets of the project, with or without the checks that stand beside them, with fakes for the servers."""
    wanted = {dg.AssetKey(name.split("/")) for name in assets}
    known, beside = project()
    chosen: list[Any] = [one for one in known if one.keys & wanted]
    if checks:
        chosen += [one for one in beside if {key.asset_key for key in one.check_keys} & wanted]
    defaults: dict[str, Any] = {
        "provisioner": FakeProvisioner(),
        "flink_jobs": FakeFlinkJobs(),
        "boards": FakeBoards(),
        "archive": FakeArchive(RuntimeError("not asked for")),
        "reconciler": FakeReconciler(reconciled(Verdict.MATCH)),
        "verdicts": FakeVerdicts(last("MATCH")),
        "quality": FakeQuality(),
        "dashboard": FakeDashboard(),
    }
    return dg.materialize(
        chosen,
        selection=dg.AssetSelection.assets(*wanted),
        resources={**defaults, **fakes},
        raise_on_error=False,
    )


def provisioned() -> list[str]:
    """Every asset of the group."""
    assets, _ = project()
    return [spec.key.to_user_string() for one in assets for spec in one.specs if spec.group_name == "provisioning"]


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(
        next(
            e.node_name
            for e in result.get_asset_materialization_events()
            if e.asset_key == dg.AssetKey(asset.split("/"))
        )
    )[:1]
    return {name: value.value for name, value in event.metadata.items()}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {(one.asset_key.to_user_string(), one.check_name): one for one in found}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the one failed step says."""
    [event] = [one for one in result.all_events if one.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None, event.step_failure_data.error
    return event.step_failure_data.user_failure_data.description or ""


def tries(result: dg.ExecuteInProcessResult) -> int:
    """How often the step was tried."""
    return 1 + sum(one.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY for one in result.all_events)


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
    topic, table = found["topic/user_score", "as_described"], found["table/top_teams", "as_described"]
    assert (topic.passed, topic.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (table.passed, table.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert topic.description == "has 1 partition, should have 4"
    assert topic.metadata["partitions"].value == 1
    assert sum(not one.passed for one in found.values()) == 2


def test_resource_that_cannot_be_looked_at_fails_the_run() -> None:
    result = launch("topic/user_score", provisioner=FakeProvisioner(unknown=["user-score"]))
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
    shown = metadata(launch("archive/user_score", archive=FakeArchive(archived)), "archive/user_score")
    assert (shown["records"], shown["refused"], shown["records_per_second"]) == (14, 2, 28)
    assert "| 0 | 5 | 15 | 10 |" in shown["ranges"]
    assert "| 1 | 0 | 4 | 4 |" in shown["ranges"]


def test_match_clears_the_alert_and_passes() -> None:
    verdicts = FakeVerdicts(last("MATCH"))
    verdicts.alerts["reconciliation/leaderboards"] = ("critical", "old")
    reconciler = FakeReconciler(reconciled(Verdict.MATCH))
    result = launch("reconciliation/leaderboards", reconciler=reconciler, verdicts=verdicts)
    assert result.success
    assert verdicts.alerts == {}
    assert set(reconciler.boards) == {"top_teams", "top_players", "team_mvps", "hot_streaks"}
    shown = metadata(result, "reconciliation/leaderboards")
    assert (shown["verdict"], shown["rows_compared"], shown["bracket_events"]) == ("MATCH", 10, 2)
    assert "| 0 | 10 | 12 |" in shown["cut"]


def test_different_fails_checks_and_raises_an_alert_but_not_the_run() -> None:
    sample = DifferenceSample({"UNEXPLAINED": 1}, ((1, "t1", "postgres", "VALUE", "total_score", 5, 4, "UNEXPLAINED"),))
    verdicts = FakeVerdicts(last("DIFFERENT", top_teams=sample))
    result = launch(
        "reconciliation/leaderboards",
        "board/top_teams",
        "board/top_players",
        checks=True,
        reconciler=FakeReconciler(reconciled(Verdict.DIFFERENT)),
        verdicts=verdicts,
    )
    assert result.success
    found = evaluations(result)
    assert not found["reconciliation/leaderboards", "verdict"].passed
    wrong, right = (found[f"board/{board}", "matches_recompute"] for board in ("top_teams", "top_players"))
    assert (wrong.passed, wrong.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert wrong.metadata["differences"].value == 1
    assert right.passed
    assert verdicts.alerts["reconciliation/leaderboards"][0] == "critical"


def test_explained_by_policy_passes_and_explained_otherwise_warns() -> None:
    late = DifferenceSample({"LATE": 2}, ())
    for verdict, passed in (("EXPLAINED", True), ("DIFFERENT", False)):
        result = launch("board/top_teams", checks=True, verdicts=FakeVerdicts(last(verdict, top_teams=late)))
        found = evaluations(result)["board/top_teams", "matches_recompute"]
        assert (found.passed, found.severity) == (passed, dg.AssetCheckSeverity.WARN)


def test_could_not_run_fails_the_run_with_the_reason_and_is_not_tried_again() -> None:
    verdicts = FakeVerdicts()
    run = reconciled(Verdict.COULD_NOT_RUN, "no checkpoint within 60 s")
    result = launch("reconciliation/leaderboards", reconciler=FakeReconciler(run), verdicts=verdicts)
    assert "no checkpoint within 60 s" in failure(result)
    assert tries(result) == 1
    assert verdicts.alerts["reconciliation/leaderboards"][0] == "warning"


@pytest.mark.parametrize("before", [None, last("COULD_NOT_RUN")], ids=["never ran", "could not run"])
def test_board_without_a_verdict_is_never_fine(before: LastReconciliation | None) -> None:
    result = launch("board/top_teams", checks=True, verdicts=FakeVerdicts(before))
    found = evaluations(result)["board/top_teams", "matches_recompute"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_unequal_ledger_fails_the_verdict_check() -> None:
    ledger = LedgerBalance("user-score", 10, 9, 0, 0, 0, {}, ())
    run = reconciled(Verdict.MATCH, ledger=ledger)
    result = launch("reconciliation/leaderboards", reconciler=FakeReconciler(run))
    assert not evaluations(result)["reconciliation/leaderboards", "verdict"].passed


@pytest.mark.parametrize(
    ("quality", "passed", "severity"),
    [
        (FakeQuality(), True, dg.AssetCheckSeverity.ERROR),
        (FakeQuality(evaluated=0), False, dg.AssetCheckSeverity.ERROR),
        (FakeQuality(broken=Severity.CRITICAL), False, dg.AssetCheckSeverity.ERROR),
        (FakeQuality(broken=Severity.WARNING), False, dg.AssetCheckSeverity.WARN),
        (FakeQuality(broken=Severity.INFO), True, dg.AssetCheckSeverity.ERROR),
    ],
    ids=["holds", "zero rows", "critical", "warning", "info"],
)
def test_suites_become_checks(quality: FakeQuality, passed: bool, severity: dg.AssetCheckSeverity) -> None:
    found = evaluations(launch("board/top_teams", checks=True, quality=quality))["board/top_teams", "expectations"]
    assert quality.asked == ["top_teams"]
    assert (found.passed, found.severity) == (passed, severity)
    assert found.metadata["evaluated"].value == quality.evaluated
    assert found.metadata["data_docs"].value == "/reports/index.html"


def test_page_that_is_down_warns_and_the_run_goes_on() -> None:
    result = launch("serving/leaderboards_page", dashboard=FakeDashboard("no answer (ConnectError)"))
    assert result.success
    found = evaluations(result)["serving/leaderboards_page", "answers"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert metadata(result, "serving/leaderboards_page")["url"] == "http://127.0.0.1:8501"
