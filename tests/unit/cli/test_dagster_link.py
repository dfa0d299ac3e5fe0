"""What commands tell Dagster: the assets, when definitions are loaded anew, and that silence fails nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli import dagster_link
from gamestream_dagster.clients import dagster_graphql
from gamestream_dagster.clients.dagster_events import Reported
from gamestream_dagster.clients.dagster_graphql import DagsterUnreachableError
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.provisioning.model import Outcome, ResourceKind, ResourceState, ResourceStatus, StepResult
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.settings import Season, Settings
from tests.support.fakes.dagster_runs import reconciled


class FakeDagster:
    shown: set[str] = set()  # noqa: RUF012 (each test sets its own)
    after: set[str] = set()  # noqa: RUF012
    error: Exception | None = None

    def __init__(self, *_: Any) -> None:
        self.reported: list[Reported] = []

    def __enter__(self) -> FakeDagster:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def report(self, event: Reported) -> None:
        if self.error:
            raise self.error

    def asset_keys(self) -> set[str]:
        if self.error:
            raise self.error
        return self.shown

    def reload(self) -> None:
        FakeDagster.shown = self.after


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(dagster_graphql, "DagsterGraphQL", FakeDagster)
    monkeypatch.setattr(FakeDagster, "error", None)
    return Settings(home=tmp_path, season=Season.HOURLY)


def keys(season: Season) -> set[str]:
    jobs = {f"job/{name}" for name in load_jobs(season=season)}
    return jobs | {f"board/{name}" for name in load_boards(season=season)} | {"topic/user_score_topic"}


def test_definitions_are_loaded_anew_only_where_jobs_or_boards_differ(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(FakeDagster, "shown", keys(Season.HOURLY))
    monkeypatch.setattr(FakeDagster, "after", set())
    dagster_link.refresh_definitions(settings, told.append)
    assert told == []
    monkeypatch.setattr(FakeDagster, "shown", keys(Season.NONE))
    monkeypatch.setattr(FakeDagster, "after", keys(Season.HOURLY))
    dagster_link.refresh_definitions(settings, told.append)
    assert told == ["Dagster loaded its definitions anew: its jobs and boards are those of the catalogue."]
    FakeDagster.shown = FakeDagster.after = keys(Season.NONE)
    dagster_link.refresh_definitions(settings, told.append)
    assert "still differs in board/season_mvps" in told[-1]


def test_a_silent_dagster_is_told_and_fails_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDagster, "error", DagsterUnreachableError("Dagster", "no answer", "look"))
    told: list[str] = []
    dagster_link.refresh_definitions(settings, told.append)
    dagster_link.report(settings, [Reported(("a", "b"), {})], told.append)
    assert len(told) == 2
    assert all("Dagster was not told" in one for one in told)


def test_a_reconciliation_brings_its_checks_along_or_they_would_show_as_not_evaluated() -> None:
    run = replace(reconciled(Verdict.MATCH), descriptions={"top_teams": object()})
    [event] = dagster_link.reconciliation_event(run, all_boards=True, report_url="http://x")
    assert event.materialised
    assert {check.name for check in event.checks} == {"verdict", "no_unexplained", "ledger_balances", "could_look"}
    assert all(check.passed for check in event.checks)
    [event] = dagster_link.reconciliation_event(replace(run, verdict=Verdict.EXPLAINED), True, "")
    assert [(check.passed, check.warning) for check in event.checks if check.name == "verdict"] == [(False, True)]
    [event] = dagster_link.reconciliation_event(run, all_boards=False, report_url="")
    assert (event.materialised, event.checks) == (False, ())
    assert dagster_link.reconciliation_event(reconciled(Verdict.COULD_NOT_RUN), True, "") == []


def test_apply_reports_what_it_created_and_nothing_else() -> None:
    def result(kind: ResourceKind, name: str, outcome: Outcome) -> StepResult:
        status = ResourceStatus(kind, name, ResourceState.PRESENT)
        return StepResult(status, outcome, status)

    events = dagster_link.provisioned_events(
        [
            result(ResourceKind.TOPIC, "user-score", Outcome.DONE),
            result(ResourceKind.TABLE, "ledger", Outcome.DONE),
            result(ResourceKind.TABLE, "alerts", Outcome.NOTHING_TO_DO),
            result(ResourceKind.MIGRATION, "0001", Outcome.DONE),
            result(ResourceKind.SUBJECT, "user-score-value", Outcome.FAILED),
        ]
    )
    assert ["/".join(event.asset) for event in events] == ["topic/user_score_topic", "table/ledger_table"]


def test_the_names_are_those_of_the_graph() -> None:
    from gamestream_dagster.definitions import defs

    graph = {spec.key.to_user_string() for spec in defs().resolve_all_asset_specs()}
    assert {"/".join(dagster_link.asset_names.RECONCILIATION), *keys(Season.NONE)} <= graph
