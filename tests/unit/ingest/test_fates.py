"""GET /v1/events/{event_id}: who may ask, what is told to whom, and what happens where nobody can look."""

from __future__ import annotations

import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.fates.model import Outcome, Trace
from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.ingest import fates
from gamestream_dagster.ingest.models import EventTrace
from tests.support.fakes.ingest import Api
from tests.support.fakes.traces import ENRICHED as RECORD


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that were traced; e1 is found."""
    ids: list[str] = []

    def trace(_settings: Any, event_id: str) -> Trace:
        ids.append(event_id)
        return Trace(event_id, (RECORD,) if event_id != "none" else (), (), (), ("game-events-raw: all of it",))

    monkeypatch.setattr(fates, "trace_event", trace)
    return ids


def ask(api: Api, path: str, *, app: str = "game", scope: Scope = Scope.READ) -> Any:
    token = api.store.add(app, frozenset({scope})).token
    return api.request("GET", path, headers={"Authorization": f"Bearer {token}"})


def test_the_fate_of_an_event(api: Api, asked: list[str]) -> None:
    answer = ask(api, "/v1/events/e1")
    assert answer.status_code == 200
    found = EventTrace.model_validate(answer.json())
    [record] = found.records
    assert (record.outcome, record.boards) == (Outcome.ENRICHED, ["top_players", "top_teams"])
    assert record.received is not None
    assert record.received.key_id == "k1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert asked == ["e1"]


def test_the_key_of_another_app_is_not_told(api: Api, asked: list[str]) -> None:
    answer = ask(api, "/v1/events/e1", app="other").json()
    assert answer["records"][0]["received"] is None
    assert answer["records"][0]["received_note"] == "over HTTP, by another app"
    assert "k1" not in str(answer)


@pytest.mark.parametrize(("path", "event_id"), [("a%2Fb", "a/b"), ("a/b", "a/b"), ("%3Cb%3E", "<b>"), ("a%20b", "a b")])
def test_any_id_can_be_asked_for(api: Api, asked: list[str], path: str, event_id: str) -> None:
    assert ask(api, f"/v1/events/{path}").status_code == 200
    assert asked == [event_id]


def test_who_may_ask(api: Api, asked: list[str]) -> None:
    assert api.request("GET", "/v1/events/e1").status_code == 401
    refused = ask(api, "/v1/events/e1", scope=Scope.INGEST)
    assert (refused.status_code, refused.json()["code"]) == (403, "SCOPE_MISSING")
    assert asked == []


def test_an_unknown_id_says_what_was_looked_through(api: Api, asked: list[str]) -> None:
    answer = ask(api, "/v1/events/none")
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_EVENT")
    assert "game-events-raw: all of it" in answer.json()["message"]


@pytest.mark.parametrize("path", ["", "%00", "x" * 1_001])
def test_what_is_no_id(api: Api, path: str) -> None:
    answer = ask(api, f"/v1/events/{path}")
    assert (answer.status_code, answer.json()["code"]) == (400, "NO_EVENT_ID")


def test_query_parameters_are_refused(api: Api, asked: list[str]) -> None:
    assert ask(api, "/v1/events/e1?dry_run=true").json()["code"] == "BAD_PARAMETER"
    assert asked == []


def test_a_trace_that_cannot_look_is_no_unknown_event(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Trace:
        raise TransientServiceError("Kafka", "127.0.0.1:9092 does not answer", "see `gamestream status`")

    monkeypatch.setattr(fates, "trace_event", away)
    answer = ask(api, "/v1/events/e1")
    assert (answer.status_code, answer.json()["code"]) == (503, "CANNOT_LOOK")
    assert "Retry-After" in answer.headers
    assert "127.0.0.1" not in answer.text, "where servers are is for the log"


def test_a_process_that_was_killed_is_replaced(api: Api, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    alive = fates._traced

    def killed(*_: Any) -> Any:
        monkeypatch.setattr(fates, "_traced", alive)
        raise BrokenProcessPool("killed")

    monkeypatch.setattr(fates, "_traced", killed)
    assert ask(api, "/v1/events/e1").json()["code"] == "CANNOT_LOOK"
    assert ask(api, "/v1/events/e1").status_code == 200


def test_a_slow_trace_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fates, "trace_event", lambda *_: time.sleep(0.5))
    api.fates._seconds = 0.05
    assert ask(api, "/v1/events/e1").json()["code"] == "TOO_SLOW"
