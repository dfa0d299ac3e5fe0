"""The erase of players over HTTP: its scope, the request it writes, what is refused; nothing names a player."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.events.suppression import SuppressionError
from gamestream_dagster.http_server.keys import Scope, signature, signing_secret
from gamestream_dagster.privacy.errors import ErasureError
from gamestream_dagster.privacy.requests import State
from gamestream_dagster.serving_api import erasures
from tests.support.fakes.ingest import SERVER_SECRET
from tests.support.fakes.serving import ServingApi

ANN = "ann-the-canary"
ERASE = f"/v1/players/{ANN}/erase"


@pytest.fixture
def api() -> Iterator[ServingApi]:
    """Its key has the scope `erase` alone."""
    made = ServingApi()
    made.key = made.store.add(app="support", scopes=frozenset({Scope.ERASE}))
    yield made
    made.close()


def ask(api: ServingApi, path: str = ERASE, **more: Any) -> httpx.Response:
    """A POST without a body."""
    return api.request("POST", path, headers={**api.headers, **more.pop("headers", {})}, **more)


def test_a_request_is_written_at_once_and_without_a_scan(api: ServingApi) -> None:
    answer = ask(api)
    assert (answer.status_code, answer.headers["Location"]) == (202, "/v1/erasures/1")
    assert answer.headers["Cache-Control"] == "no-store"
    [written] = api.requests.all()
    assert answer.json() == {
        "number": 1, "state": "OPEN", "requested_at": written.requested_at.isoformat(), "suppressed_at": None,
        "finished_at": None, "certificate": None,
    }  # fmt: skip
    assert (written.player, written.plan, written.requested_by) == (ANN, None, "api:support")


def test_the_same_player_gives_the_same_request_until_it_is_finished(api: ServingApi) -> None:
    first = ask(api)
    again = ask(api)
    assert (again.status_code, again.json(), again.headers["Location"]) == (
        202,
        first.json(),
        first.headers["Location"],
    )
    assert ask(api, "/v1/players/ben/erase").json()["number"] == 2
    api.requests.change(1, state="FINISHED")
    assert ask(api).json()["number"] == 3


def test_a_request_of_the_command_line_that_is_open_stays_the_only_one(api: ServingApi) -> None:
    ask(api)
    subject = api.requests.rows[1].subject
    api.requests.rows.clear()
    api.requests.write(subject, ANN, ({"store": "x", "place": "y", "found": 1},), State.OPEN)
    assert ask(api).json()["number"] == 1
    assert api.requests.rows[1].requested_by == "me"


@pytest.mark.parametrize(
    ("path", "player"),
    [
        ("/v1/players/a%2Fb/erase", "a/b"),
        ("/v1/players/a/b/erase", "a/b"),
        ("/v1/players/erase/erase", "erase"),
        ("/v1/players/James%20Harden%3F/erase", "James Harden?"),
        ("/v1/players/%C3%A9%F0%9F%8E%AE/erase", "é🎮"),
        ("/v1/players/a+b/erase", "a+b"),
        ("/v1/players/%EF%BF%BD/erase", "\ufffd"),
        (f"/v1/players/{'x' * 200}/erase", "x" * 200),
    ],
)
def test_ids_are_taken_as_they_are(api: ServingApi, path: str, player: str) -> None:
    assert ask(api, path).status_code == 202
    assert [one.player for one in api.requests.all()] == [player]


@pytest.mark.parametrize("player", ["", "%FF", "a%C3", "x" * 201, "a%00b"])
def test_what_is_no_id_writes_nothing(api: ServingApi, player: str) -> None:
    answer = ask(api, f"/v1/players/{player}/erase")
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_ID")
    assert api.requests.all() == []


@pytest.mark.parametrize("scopes", [{Scope.READ}, {Scope.INGEST}, {Scope.READ, Scope.INGEST}])
def test_no_other_scope_implies_it(api: ServingApi, scopes: set[Scope]) -> None:
    ask(api)
    api.key = api.store.add(scopes=frozenset(scopes))
    for answer in (ask(api, "/v1/players/ben/erase"), api.get("/v1/erasures/1")):
        assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")
        assert "--scope erase" in answer.json()["message"]
    assert len(api.requests.all()) == 1


def test_it_implies_no_other_scope(api: ServingApi) -> None:
    assert api.get("/v1/boards").json()["code"] == "SCOPE_MISSING"


def test_it_needs_a_key_and_no_query_and_no_body(api: ServingApi) -> None:
    assert api.request("POST", ERASE).json()["code"] == "KEY_MISSING"
    assert api.request("GET", "/v1/erasures/1").json()["code"] == "KEY_MISSING"
    assert ask(api, f"{ERASE}?dry_run=true").json()["code"] == "BAD_PARAMETER"
    assert ask(api, content=b'{"dry_run": true}').json()["code"] == "BODY_NOT_EMPTY"
    assert ask(api, content=b"x" * (65 << 10)).status_code == 413
    assert api.get(ERASE).status_code == 405
    assert api.requests.all() == []
    assert ask(api, headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code == 202, "curl -d ''"


def test_a_signed_key_signs_the_empty_body(api: ServingApi) -> None:
    api.key = api.store.add(scopes=frozenset({Scope.ERASE}), signed=True)
    assert ask(api).json()["code"] == "SIGNATURE_MISSING"
    stamp = str(int(time.time()))
    headers = {"X-Gamestream-Timestamp": stamp, "X-Gamestream-Signature": "v1=00"}
    assert ask(api, headers=headers).json()["code"] == "SIGNATURE_WRONG"
    headers["X-Gamestream-Signature"] = signature(signing_secret(api.key.key_id, SERVER_SECRET), stamp, b"")
    assert ask(api, headers=headers).status_code == 202
    assert api.get("/v1/erasures/1", headers=headers).status_code == 200


def test_the_usual_limits_hold() -> None:
    api = ServingApi(api_rate_per_key="2/hour")
    api.key = api.store.add(scopes=frozenset({Scope.ERASE}))
    assert [ask(api).status_code for _ in range(3)] == [202, 202, 429]
    api.close()


def test_a_number_tells_how_the_erasure_stands(api: ServingApi) -> None:
    location = ask(api).headers["Location"]
    written = api.requests.rows[1]
    assert api.get(location).json()["state"] == "OPEN"
    certificate = {"kind": "erase", "verdict": "ERASED"}
    api.requests.change(1, state="FINISHED", suppressed_at=written.requested_at, finished_at=written.requested_at)
    api.requests.change(1, certificate=certificate, player=None)
    answer = api.get(location)
    at = written.requested_at.isoformat()
    assert answer.json() == {
        "number": 1, "state": "FINISHED", "requested_at": at, "suppressed_at": at, "finished_at": at,
        "certificate": certificate,
    }  # fmt: skip
    assert api.get(location, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize(("number", "status"), [("2", 404), ("9" * 18, 404), ("0", 400), ("-1", 400), ("one", 400)])
def test_unknown_numbers(api: ServingApi, number: str, status: int) -> None:
    ask(api)
    answer = api.get(f"/v1/erasures/{number}")
    assert (answer.status_code, answer.json()["code"]) == (
        status, "NO_SUCH_ERASURE" if status == 404 else "BAD_PARAMETER",
    )  # fmt: skip


def test_a_request_to_export_is_no_erasure(api: ServingApi) -> None:
    api.requests.write("subject", ANN, (), State.EXPORT)
    answer = api.get("/v1/erasures/1")
    assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_ERASURE")


@pytest.mark.parametrize(
    "error",
    [
        TransientServiceError("Postgres", "nothing listens", "start it with `gamestream up`"),
        ErasureError("Postgres has no table of requests", "create it with `gamestream apply`"),
        OperationalError(f"INSERT {ANN}", {"player": ANN}, Exception(f"canceled {ANN}")),
        DBAPIError("SELECT 1", None, Exception("no")),
        SuppressionError("/home/secrets/privacy_key is gone", "restore it from a backup"),
        PermissionError(13, "Permission denied", "/home/secrets/privacy_key"),
    ],
)
def test_what_cannot_be_written_now_is_asked_for_again(api: ServingApi, error: Exception) -> None:
    api.requests_error = error
    for answer in (ask(api), api.get("/v1/erasures/1")):
        assert (answer.status_code, answer.json()["code"]) == (503, "ERASURES_UNAVAILABLE")
        assert answer.headers["Retry-After"]
        assert ANN not in answer.text
        assert "/home" not in answer.text


def test_nothing_names_the_player(
    api: ServingApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [
            ask(api),
            api.get("/v1/erasures/1"),
            ask(api, f"{ERASE}?x=1"),
            api.get(ERASE),
            ask(api, f"{ERASE}/x"),
        ]
        answers += [ask(api, content=b"x"), ask(api, f"/v1/players/{ANN * 20}/erase"), ask(api, f"/v1/erasures/{ANN}")]
        answers += [ask(api, f"/v1/players/{ANN}%FF/erase"), api.get(f"/v1/erasures/{ANN}")]
        answers.append(api.request("POST", ERASE))

        def fault(*_: Any) -> Any:
            raise ValueError(ANN)

        monkeypatch.setattr(erasures.StackErasures, "ask", fault)
        answers.append(ask(api))
    assert answers[-1].status_code == 500
    for answer in answers:
        assert ANN not in answer.text
        assert ANN not in str(answer.headers)
    lines = [json.loads(one.message) for one in caplog.records if one.name == "gamestream.access"]
    assert lines[0]["route"] == "/v1/players/{player:path}/erase"
    assert (lines[0]["app"], lines[0]["status"]) == ("support", 202)
    ours = [one for one in caplog.records if one.name.startswith("gamestream")]
    assert ANN not in "".join(one.getMessage() for one in ours)
    metrics = api.request("GET", "/metrics").text
    assert 'route="/v1/players/{player:path}/erase",status="202"' in metrics
    assert ANN not in metrics
