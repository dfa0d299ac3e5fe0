"""What the assets do with the facades' answers: metadata, checks, and which failures may be tried again."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gamestream_dagster.archive.writer import ArchiveResult
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.components.flink_job_sensor import INCIDENT_TAG
from gamestream_dagster.defs.reconciliation.assets import CHECKS
from gamestream_dagster.flink_jobs.errors import ParkedError, PreflightError
from gamestream_dagster.flink_jobs.incidents import Entry, Incident, IncidentKind, Moment, Noted
from gamestream_dagster.flink_jobs.observed import Health, JobState
from gamestream_dagster.flink_jobs.plan import Choice
from gamestream_dagster.reconciliation.model import (
    BoardResult,
    Cause,
    Difference,
    DifferenceKind,
    FaultKind,
    JobCut,
    LedgerBalance,
    LedgerFault,
    Mode,
    ReconciliationRun,
    Sink,
    Verdict,
)
from gamestream_dagster.reconciliation.proofs import FinishedRun
from gamestream_dagster.resources.verdicts import DifferenceSample
from quality.results import Severity
from tests.fakes.dagster_facades import (
    FakeArchive,
    FakeBoards,
    FakeDashboard,
    FakeFlinkJobs,
    FakeProvisioner,
    FakeQuality,
    FakeReconciler,
    observed,
)
from tests.fakes.verdicts import FakeVerdicts, finished

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


BALANCED = LedgerBalance("user-score", 10, 9, 0, 0, 1, {"NOT_JSON": 1})


def reconciled(
    verdict: Verdict, reason: str = "", ledger: LedgerBalance | None = BALANCED, **changes: Any
) -> ReconciliationRun:
    differences = (replace(DIFFERENCE, **changes),) if verdict in (Verdict.DIFFERENT, Verdict.EXPLAINED) else ()
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
        report_path=Path("/reports/r1.html"),
    )


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


def launch(
    *assets: str,
    checks: bool = False,
    config: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    **fakes: Any,
) -> dg.ExecuteInProcessResult:
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
        "verdicts": FakeVerdicts(finished()),
        "quality": FakeQuality(),
        "dashboard": FakeDashboard(),
    }
    return dg.materialize(
        chosen,
        selection=dg.AssetSelection.assets(*wanted),
        resources={**defaults, **fakes},
        run_config=config,
        tags=tags,
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
    shown = metadata(launch("archive/user_score", archive=FakeArchive(archived)), "archive/user_score")
    assert (shown["records"], shown["refused"], shown["records_per_second"]) == (14, 2, 28)
    assert "| 0 | 5 | 15 | 10 |" in shown["ranges"]
    assert "| 1 | 0 | 4 | 4 |" in shown["ranges"]


def test_match_clears_the_alert_and_passes_every_check() -> None:
    verdicts = FakeVerdicts(finished())
    verdicts.alerts["reconciliation/leaderboards"] = ("critical", "old")
    reconciler = FakeReconciler(reconciled(Verdict.MATCH))
    result = launch("reconciliation/leaderboards", reconciler=reconciler, verdicts=verdicts)
    assert result.success
    assert verdicts.alerts == {}
    assert set(reconciler.boards) == {"top_teams", "top_players", "team_mvps", "hot_streaks"}
    found = evaluations(result)
    assert {name: one.passed for (_, name), one in found.items()} == dict.fromkeys(CHECKS, True)
    shown = metadata(result, "reconciliation/leaderboards")
    assert (shown["verdict"], shown["rows_compared"], shown["bracket_events"]) == ("MATCH", 10, 2)
    assert "| 0 | 10 | 12 |" in shown["cut"]
    assert "causes" not in shown
    assert shown["report"] == "http://127.0.0.1:8501/reports/r1.html"
    assert shown["data_docs"] == "http://127.0.0.1:8501/reports/data_docs/index.html"


def test_different_fails_checks_and_raises_an_alert_but_not_the_run() -> None:
    row = (1, "t1", "postgres", "VALUE", "total_score", 5, 4, "UNEXPLAINED", False, "look")
    verdicts = FakeVerdicts(finished("DIFFERENT"), top_teams=DifferenceSample({"UNEXPLAINED": 1}, 0, (row,)))
    result = launch(
        "reconciliation/leaderboards",
        "board/top_teams",
        "board/top_players",
        checks=True,
        reconciler=FakeReconciler(reconciled(Verdict.DIFFERENT, "1 rows differ", action="look at it")),
        verdicts=verdicts,
    )
    assert result.success
    found = evaluations(result)
    for check in ("verdict", "no_unexplained"):
        one = found["reconciliation/leaderboards", check]
        assert (one.passed, one.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found["reconciliation/leaderboards", "ledger_balances"].passed
    wrong, right = (found[f"board/{board}", "matches_recompute"] for board in ("top_teams", "top_players"))
    assert (wrong.passed, wrong.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert wrong.metadata["differences"].value == 1
    assert wrong.metadata["report"] == dg.MetadataValue.url("http://127.0.0.1:8501/reports/r1.html")
    assert right.passed
    severity, summary = verdicts.alerts["reconciliation/leaderboards"]
    assert (severity, summary) == ("critical", "DIFFERENT: 10 rows compared, 1 differ. 1 rows differ")
    causes = metadata(result, "reconciliation/leaderboards")["causes"]
    assert "| UNEXPLAINED | 1 | not accepted | None of the known causes" in causes
    assert "look at it |" in causes


def test_explained_by_policy_is_a_warning_and_no_alert() -> None:
    verdicts = FakeVerdicts()
    run = reconciled(Verdict.EXPLAINED, alternatives=((Cause.LATE,),), accepted=True)
    result = launch("reconciliation/leaderboards", reconciler=FakeReconciler(run), verdicts=verdicts)
    found = {name: one for (_, name), one in evaluations(result).items()}
    assert (found["verdict"].passed, found["verdict"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found["no_unexplained"].passed
    assert verdicts.alerts == {}


@pytest.mark.parametrize(
    ("sample", "passed", "severity"),
    [
        (DifferenceSample(), True, dg.AssetCheckSeverity.WARN),
        (DifferenceSample({"LATE": 2}, accepted=2), False, dg.AssetCheckSeverity.WARN),
        (DifferenceSample({"LATE": 2}, accepted=1), False, dg.AssetCheckSeverity.ERROR),
        (DifferenceSample({"UNEXPLAINED": 1}), False, dg.AssetCheckSeverity.ERROR),
    ],
    ids=["none", "accepted", "one not accepted", "unexplained"],
)
def test_a_board_warns_of_what_the_policy_accepts_and_fails_on_the_rest(
    sample: DifferenceSample, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    result = launch("board/top_teams", checks=True, verdicts=FakeVerdicts(finished("EXPLAINED"), top_teams=sample))
    found = evaluations(result)["board/top_teams", "matches_recompute"]
    assert (found.passed, found.severity) == (passed, severity)


def test_could_not_run_fails_the_run_with_the_reason_and_is_not_tried_again() -> None:
    verdicts = FakeVerdicts()
    verdicts.alerts["reconciliation/leaderboards"] = ("critical", "a difference")
    run = reconciled(Verdict.COULD_NOT_RUN, "no checkpoint within 60 s")
    result = launch("reconciliation/leaderboards", reconciler=FakeReconciler(run), verdicts=verdicts)
    assert "no checkpoint within 60 s" in failure(result)
    assert tries(result) == 1
    # it says nothing about the boards, so what was known of them stands
    assert verdicts.alerts == {"reconciliation/leaderboards": ("critical", "a difference")}


@pytest.mark.parametrize(
    "before",
    [None, finished("COULD_NOT_RUN", reason="no checkpoint"), finished(boards=frozenset({"top_players"}))],
    ids=["never ran", "could not run", "another board"],
)
def test_board_without_a_verdict_is_never_fine(before: FinishedRun | None) -> None:
    result = launch("board/top_teams", checks=True, verdicts=FakeVerdicts(before))
    found = evaluations(result)["board/top_teams", "matches_recompute"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)


HOLE = LedgerFault(FaultKind.HOLE, "archive", 1, 3, 4, 2, "hole in the archive: p1@3..4")


@pytest.mark.parametrize(
    ("ledger", "told"),
    [
        (LedgerBalance("user-score", 10, 9, 0, 0, 0, {}), "do not add up"),
        (replace(BALANCED, faults=(HOLE,)), "p1@3..4"),
        (replace(BALANCED, faults=(HOLE,) * 9), "and 4 more"),
        (None, "no ledger"),
    ],
)
def test_a_ledger_that_does_not_balance_fails_its_check(ledger: LedgerBalance | None, told: str) -> None:
    result = launch("reconciliation/leaderboards", reconciler=FakeReconciler(reconciled(Verdict.MATCH, ledger=ledger)))
    found = evaluations(result)["reconciliation/leaderboards", "ledger_balances"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert told in (found.description or "")


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
    assert found.metadata["data_docs"] == dg.MetadataValue.url("http://127.0.0.1:8501/reports/index.html")


def test_page_that_is_down_warns_and_the_run_goes_on() -> None:
    result = launch("serving/leaderboards_page", dashboard=FakeDashboard("no answer (ConnectError)"))
    assert result.success
    found = evaluations(result)["serving/leaderboards_page", "answers"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert metadata(result, "serving/leaderboards_page")["url"] == "http://127.0.0.1:8501"


def test_the_ledger_has_a_suite_beside_that_of_the_differences() -> None:
    quality = FakeQuality()
    found = evaluations(launch("reconciliation/leaderboards", checks=True, quality=quality))
    assert quality.asked == ["differences", "ledger"]
    assert found["reconciliation/leaderboards", "expectations"].passed
    assert found["reconciliation/leaderboards", "ledger_expectations"].passed
