"""What the assets make of a reconciliation: checks of boards, ledger and suites, and alerts."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from gamestream_dagster.defs.reconciliation.assets import CHECKS
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerBalance, LedgerFault
from gamestream_dagster.reconciliation.model.values import Cause, Verdict
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.resources.verdicts import DifferenceSample
from quality.results import Severity
from tests.support.fakes.dagster_facades import (
    FakeQuality,
    FakeReconciler,
)
from tests.support.fakes.dagster_runs import (
    BALANCED,
    evaluations,
    failure,
    launch,
    metadata,
    reconciled,
    tries,
)
from tests.support.fakes.verdicts import FakeVerdicts, finished


def test_match_clears_the_alert_and_passes_every_check() -> None:
    verdicts = FakeVerdicts(finished())
    verdicts.alerts["reconciliation/leaderboards"] = ("critical", "old")
    reconciler = FakeReconciler(reconciled(Verdict.MATCH))
    result = launch("reconciliation/leaderboards", reconciler=reconciler, verdicts=verdicts)
    assert result.success
    assert verdicts.alerts == {}
    assert reconciler.boards is None, "all of jobs that were deployed"
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
    [None, finished(boards=frozenset({"top_players"}))],
    ids=["never ran", "another board"],
)
def test_board_that_no_run_was_about_is_neither_fine_nor_wrong(before: FinishedRun | None) -> None:
    result = launch("board/top_teams", checks=True, verdicts=FakeVerdicts(before))
    assert ("board/top_teams", "matches_recompute") not in evaluations(result)
    assert result.success


def test_board_whose_last_run_could_not_look_is_never_fine() -> None:
    verdicts = FakeVerdicts(finished("COULD_NOT_RUN", reason="no checkpoint"))
    found = evaluations(launch("board/top_teams", checks=True, verdicts=verdicts))[
        "board/top_teams", "matches_recompute"
    ]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_a_suite_that_has_not_run_yet_has_no_result_and_one_rightly_empty_passes() -> None:
    waiting = launch("board/top_teams", checks=True, quality=FakeQuality(evaluated=0, waiting="nothing is archived"))
    assert ("board/top_teams", "expectations") not in evaluations(waiting)
    assert waiting.success
    empty = evaluations(launch("board/top_teams", checks=True, quality=FakeQuality(evaluated=0, empty="none is right")))
    found = empty["board/top_teams", "expectations"]
    assert found.passed
    assert found.description == "none is right"


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


def test_the_tables_of_a_reconciliation_and_the_archive_have_suites() -> None:
    quality = FakeQuality()
    tables = ("table/differences_table", "table/ledger_table")
    found = evaluations(launch(*tables, checks=True, quality=quality))
    assert quality.asked == ["differences", "ledger"]
    assert all(found[table, "expectations"].passed for table in tables)
