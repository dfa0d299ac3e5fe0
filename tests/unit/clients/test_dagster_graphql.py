"""The GraphQL client: its document against Dagster's own schema, and what it makes of the answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gamestream_dagster.clients.dagster_events import Reported, ReportedCheck
from gamestream_dagster.clients.dagster_graphql import (
    DOCUMENT,
    DagsterApiError,
    DagsterGraphQL,
    DagsterUnreachableError,
    LaunchRefusedError,
    RunStatus,
    RunTimeoutError,
)

URL = "http://127.0.0.1:3000"
JOBS = {
    "repositoriesOrError": {
        "__typename": "RepositoryConnection",
        "nodes": [{"name": "__repository__", "location": {"name": "gamestream"}, "jobs": [{"name": "provision"}]}],
    },
    "workspaceOrError": {
        "__typename": "Workspace",
        "locationEntries": [{"name": "gamestream", "locationOrLoadError": {"__typename": "RepositoryLocation"}}],
    },
}
NO_LOCATION = {
    "repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": []},
    "workspaceOrError": {
        "__typename": "Workspace",
        "locationEntries": [
            {
                "name": "gamestream",
                "locationOrLoadError": {"__typename": "PythonError", "message": "ImportError: no x\nmore"},
            }
        ],
    },
}


def run(status: str, **more: Any) -> dict[str, Any]:
    steps = [{"stepKey": "a", "status": "SUCCESS"}, {"stepKey": "b", "status": "IN_PROGRESS"}]
    found = {"runId": "1", "jobName": "provision", "status": status, "startTime": 10.0, "endTime": 12.5}
    return {"runOrError": {"__typename": "Run", "stepStats": steps, **found, **more}}


def client(*answers: Any) -> tuple[DagsterGraphQL, list[dict[str, Any]]]:
    """A client that gets these answers one after the other (the last again and again), and what it asked."""
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        found = answers[min(len(asked), len(answers)) - 1]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json={"data": found})

    return DagsterGraphQL(URL, transport=httpx.MockTransport(answer)), asked


def test_document_is_valid_against_the_schema_of_the_locked_dagster() -> None:
    from dagster_graphql.schema import create_schema
    from graphql import parse, validate

    assert validate(create_schema().graphql_schema, parse(DOCUMENT.read_text(encoding="utf-8"))) == []


def test_launch_finds_the_location_and_passes_tags() -> None:
    dagster, asked = client(JOBS, {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}}})
    assert dagster.launch("provision", {"why": "demo"}) == "r1"
    assert [one["operationName"] for one in asked] == ["Jobs", "Launch"]
    params = asked[1]["variables"]["params"]
    assert params["selector"] == {
        "repositoryLocationName": "gamestream",
        "repositoryName": "__repository__",
        "jobName": "provision",
    }
    assert params["executionMetadata"]["tags"] == [{"key": "why", "value": "demo"}]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([JOBS], "no job 'deploy' (known jobs: provision)"),
        ([NO_LOCATION], "gamestream did not load: ImportError: no x"),
    ],
    ids=["unknown job", "location does not load"],
)
def test_job_that_is_not_there_is_refused_with_what_is(answers: list[Any], said: str) -> None:
    dagster, _ = client(*answers)
    with pytest.raises(LaunchRefusedError) as raised:
        dagster.launch("deploy")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_refused_launch_says_why() -> None:
    refusal = {"launchRun": {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "bad config"}]}}
    dagster, _ = client(JOBS, refusal)
    with pytest.raises(LaunchRefusedError, match="bad config"):
        dagster.launch("provision")


def test_wait_ends_with_the_run_and_reports_progress() -> None:
    dagster, asked = client(run("QUEUED", startTime=None), run("STARTED"), run("SUCCESS"))
    seen: list[RunStatus] = []
    outcome = dagster.wait("1", timeout=10, progress=lambda now: seen.append(now.status), poll_seconds=0.001)
    assert outcome.succeeded
    assert (outcome.seconds, outcome.steps_done, outcome.steps_total) == (2.5, 1, 2)
    assert seen == [RunStatus.QUEUED, RunStatus.STARTED, RunStatus.SUCCESS]
    assert len(asked) == 3


def test_failed_run_gives_each_steps_own_sentence() -> None:
    events = [
        {"__typename": "MessageEvent"},
        {
            "__typename": "ExecutionStepFailureEvent",
            "stepKey": "ensure_topics",
            "failureMetadata": {"description": "Could not provision: Kafka is down."},
            "error": None,
        },
        {
            "__typename": "ExecutionStepFailureEvent",
            "stepKey": "b",
            "failureMetadata": None,
            "error": {"message": "op failed\n", "causes": [{"message": "KeyError: 'x'\n  stack"}]},
        },
        {"__typename": "RunFailureEvent", "message": "Steps failed", "error": None},
    ]
    pages = [
        {"runOrError": {"eventConnection": {"cursor": "1", "hasMore": True, "events": events[:2]}}},
        {"runOrError": {"eventConnection": {"cursor": "2", "hasMore": False, "events": events[2:]}}},
    ]
    dagster, asked = client(run("FAILURE"), *pages)
    outcome = dagster.run("1")
    assert [(one.step, one.reason) for one in outcome.failures] == [
        ("ensure_topics", "Could not provision: Kafka is down."),
        ("b", "KeyError: 'x'"),
    ]
    assert asked[2]["variables"]["after"] == "1"
    assert not outcome.succeeded


def test_short_outage_is_waited_out() -> None:
    dagster, _ = client(httpx.ConnectError("refused"), httpx.Response(503), run("SUCCESS"))
    assert dagster.wait("1", timeout=10, poll_seconds=0.001).succeeded


@pytest.mark.parametrize(
    ("answer", "error"),
    [(run("STARTED"), RunTimeoutError), (httpx.ConnectError("refused"), DagsterUnreachableError)],
    ids=["run goes on", "nobody answers"],
)
def test_wait_has_a_limit(answer: Any, error: type[Exception]) -> None:
    dagster, _ = client(answer)
    with pytest.raises(error):
        dagster.wait("1", timeout=0.02, poll_seconds=0.001)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (httpx.Response(200, text="<html>"), "no JSON"),
        (httpx.Response(400, json={"errors": [{"message": "Cannot query field"}]}), "Cannot query field"),
    ],
    ids=["not Dagster", "other version"],
)
def test_answer_that_is_not_the_api_is_named(reply: httpx.Response, said: str) -> None:
    dagster, _ = client(reply)
    with pytest.raises(DagsterApiError, match=said):
        dagster.run("1")


def test_assets_with_their_last_materialisation_and_checks() -> None:
    def node(name: str, materialised: bool, check: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "assetKey": {"path": ["board", name]},
            "groupName": "streaming",
            "isMaterializable": True,
            "assetMaterializations": [{"timestamp": "1500", "runId": "r1"}] if materialised else [],
            "assetChecksOrError": {"checks": [{"name": "expectations", "executionForLatestMaterialization": check}]},
        }

    failed = {
        "status": "FAILED",
        "evaluation": {"success": False, "severity": "WARN", "description": "ranks have a gap"},
    }
    dagster, _ = client({"assetNodes": [node("b", False, None), node("a", True, failed)]})
    first, second = dagster.assets()
    assert (first.key, first.materialised_at, first.run_id) == ("board/a", 1.5, "r1")
    assert (first.checks[0].status, first.checks[0].severity) == ("FAILED", "WARN")
    assert (second.materialised_at, second.checks[0].status) == (None, "NEVER_RUN")


def test_a_report_goes_to_the_assets_page_with_its_checks() -> None:
    paths: list[str] = []
    bodies: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={})

    dagster = DagsterGraphQL(URL, transport=httpx.MockTransport(answer))
    check = ReportedCheck("healthy", False, warning=True, told="slow")
    dagster.report(Reported(("job", "a"), {"generation": 2}, checks=(check,)))
    dagster.report(Reported(("job", "a"), {}, materialised=False))
    assert paths == [
        "/report_asset_materialization/job/a",
        "/report_asset_check/job/a",
        "/report_asset_observation/job/a",
    ]
    assert bodies[0] == {"metadata": {"generation": 2}}
    assert bodies[1] == {"check_name": "healthy", "passed": False, "severity": "WARN", "metadata": {"told": "slow"}}


def test_a_report_that_dagster_refuses_is_an_error() -> None:
    dagster, _ = client(httpx.Response(400, json={"error": "no such asset"}))
    with pytest.raises(DagsterApiError, match="no such asset"):
        dagster.report(Reported(("job", "a"), {}))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"__typename": "RepositoryLocationNotFound", "message": "no location x"}, "no location x"),
        ({"__typename": "ReloadNotSupported", "message": "not this one"}, "not this one"),
        (
            {
                "__typename": "WorkspaceLocationEntry",
                "locationOrLoadError": {"__typename": "PythonError", "message": "ImportError: y\nmore"},
            },
            "ImportError: y",
        ),
    ],
)
def test_definitions_that_cannot_be_loaded_anew_are_told(answer: dict[str, Any], reason: str) -> None:
    dagster, _ = client({"reloadRepositoryLocation": answer})
    with pytest.raises(DagsterApiError, match=reason):
        dagster.reload()
