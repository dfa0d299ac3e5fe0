"""Dagster's own servers: what commands report is on the assets' pages, and new jobs appear without a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gamestream_dagster.cli.dagster_link import refresh_definitions, report
from gamestream_dagster.clients.dagster_events import Reported, ReportedCheck
from gamestream_dagster.clients.dagster_graphql import AssetState, DagsterGraphQL
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.settings import Settings, load_settings

WEBSERVER = "dagster-webserver"
SEASONAL = {"job/season_boards_v1", "board/season_players", "serving/closed_seasons"}


@pytest.fixture(scope="module")
def dagster(stack: Settings) -> Iterator[DagsterGraphQL]:
    """The webserver and the code server of the session's stack; stopped afterwards where they were not there before."""
    started = Stack(stack).up((WEBSERVER,))
    try:
        with DagsterGraphQL(stack.dagster_url, 120) as client:
            yield client
    finally:
        if WEBSERVER in started:
            Stack(stack).stop("dagster")


def asset(dagster: DagsterGraphQL, key: str) -> AssetState:
    return next(one for one in dagster.assets() if one.key == key)


def test_what_a_command_did_is_on_the_assets_page_with_its_check(stack: Settings, dagster: DagsterGraphQL) -> None:
    began, told = time.time(), list[str]()
    key = ("job", "hot_streaks_v1")
    check = ReportedCheck("healthy", False, warning=True, told="slow")
    report(stack, [Reported(key, {"generation": 7}, checks=(check,))], told.append)
    assert told == []
    found = asset(dagster, "job/hot_streaks_v1")
    assert found.materialised_at is not None
    assert found.materialised_at >= began - 1
    assert [(one.name, one.status, one.severity) for one in found.checks] == [("healthy", "FAILED", "WARN")]
    report(stack, [Reported(key, {"generation": 8}, materialised=False)], told.append)
    assert asset(dagster, "job/hot_streaks_v1").materialised_at == found.materialised_at


def test_new_jobs_and_boards_appear_and_go_without_a_restart(stack: Settings, dagster: DagsterGraphQL) -> None:
    profile = stack.home / "profile.yaml"
    before = profile.read_text(encoding="utf-8") if profile.exists() else None
    told: list[str] = []
    assert not SEASONAL & dagster.asset_keys()
    try:
        profile.write_text(f"{before or ''}\nseason: hourly\n", encoding="utf-8")
        refresh_definitions(load_settings(home=stack.home), told.append)
        assert dagster.asset_keys() >= SEASONAL
        assert "match the catalogue" in told[0]
        refresh_definitions(load_settings(home=stack.home), told.append)
        assert len(told) == 1  # nothing to do, nothing to tell
    finally:
        if before is None:
            profile.unlink()
        else:
            profile.write_text(before, encoding="utf-8")
    refresh_definitions(load_settings(home=stack.home), told.append)
    assert not SEASONAL & dagster.asset_keys()
