"""How the serving API serves: keys, limits, ETags, how old an answer may be, Postgres away, questions in a row."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.http_server.keys import Scope, signature, signing_secret
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.why.question import UnknownEntityError
from gamestream_dagster.serving_api import held
from gamestream_dagster.serving_api.explaining import MOST_WAITING
from tests.support.fakes.ingest import SERVER_SECRET
from tests.support.fakes.serving import ServingApi, players

BOARD = "/v1/boards/top_players"
PATHS = ["/v1/boards", BOARD, f"{BOARD}/players/p1", f"{BOARD}/around/p1", "/v1/players/p1/why?board=top_players"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_needs_a_key_with_the_scope_read(api: ServingApi, path: str) -> None:
    api.show("top_players", players(1))
    assert api.request("GET", path).json()["code"] == "KEY_MISSING"
    sender = api.store.add(scopes=frozenset({Scope.INGEST}))
    answer = api.request("GET", path, headers={"Authorization": f"Bearer {sender.token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")
    assert api.get(path).status_code == 200


def test_the_list_of_friends_needs_a_key_before_its_body_is_read(api: ServingApi) -> None:
    answer = api.request("POST", f"{BOARD}/among", content=b"x" * (2 << 20))
    assert answer.status_code == 401
    assert api.post(f"{BOARD}/among", {"ids": ["x" * 900] * 1200}).status_code == 413


def test_a_signed_key_signs_an_empty_body(api: ServingApi) -> None:
    key = api.store.add(scopes=frozenset({Scope.READ}), signed=True)
    headers = {"Authorization": f"Bearer {key.token}"}
    assert api.request("GET", BOARD, headers=headers).json()["code"] == "SIGNATURE_MISSING"
    stamp = str(int(time.time()))
    signed = signature(signing_secret(key.key_id, SERVER_SECRET), stamp, b"")
    headers |= {"X-Gamestream-Timestamp": stamp, "X-Gamestream-Signature": signed}
    assert api.request("GET", BOARD, headers=headers).status_code == 200


def test_limits_count_by_key_and_by_address() -> None:
    api = ServingApi(api_rate_per_key="2/hour")
    assert [api.get(BOARD).status_code for _ in range(3)] == [200, 200, 429]
    api.close()
    api = ServingApi(api_rate_per_address="2/hour")
    assert [api.get(BOARD).status_code for _ in range(3)] == [200, 200, 429]
    assert api.get(BOARD, client=("198.51.100.9", 1)).status_code == 200
    assert api.request("GET", "/healthz").status_code == 200
    api.close()


def test_the_same_content_is_sent_once(api: ServingApi) -> None:
    api.show("top_players", players(3, 2))
    first = api.get(BOARD)
    tag = first.headers["ETag"]
    api.now += 10  # read anew, and the same
    for given in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        again = api.get(BOARD, headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert api.get(BOARD, headers={"If-None-Match": '"other"'}).status_code == 200
    api.reader.offset += 1
    api.now += 10
    assert api.get(BOARD, headers={"If-None-Match": tag}).status_code == 200, "the cut is part of the answer"


def test_pages_and_rows_have_tags_of_their_own(api: ServingApi) -> None:
    api.show("top_players", players(3, 2))
    tags = {api.get(path).headers["ETag"] for path in (BOARD, f"{BOARD}?limit=1", f"{BOARD}/players/p1", "/v1/boards")}
    assert len(tags) == 4


def test_many_requests_read_a_board_once(api: ServingApi) -> None:
    api.show("top_players", players(3, 2))
    many = [api.send("GET", BOARD, headers=api.headers) for _ in range(20)]

    async def all_of_them() -> list[httpx.Response]:
        return await asyncio.gather(*many)

    assert {one.status_code for one in api.runner.run(all_of_them())} == {200}
    assert api.reader.reads == 1


def test_an_answer_is_at_most_three_seconds_old(api: ServingApi) -> None:
    api.show("top_players", players(3))
    api.get(BOARD)
    api.reader.rows["top_players"] = players(4)
    api.now += held.FRESH_SECONDS - 0.1
    assert value(api) == 3
    api.now += held.STALE_SECONDS
    assert value(api) == 4


def value(api: ServingApi) -> int:
    answer = api.get(BOARD)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"][0]["value"]


def test_a_stale_answer_has_a_newer_one_read(api: ServingApi) -> None:
    api.show("top_players", players(3))
    api.get(BOARD)
    api.reader.rows["top_players"] = players(4)
    api.now += held.FRESH_SECONDS + 0.1
    assert value(api) == 3, "nobody waits"
    deadline = time.monotonic() + 5
    while value(api) == 3:
        assert time.monotonic() < deadline


def test_while_postgres_is_away_the_last_board_is_served_for_a_minute(api: ServingApi) -> None:
    api.show("top_players", players(3))
    read_at = api.get(BOARD).json()["read_at"]
    api.reader.away = True
    api.now += 30
    found = api.get(BOARD)
    assert (found.status_code, found.json()["read_at"]) == (200, read_at)
    reads = api.reader.reads
    api.get(BOARD)
    assert api.reader.reads == reads, "it is left alone for a second"
    api.now += held.AWAY_SECONDS
    answer = api.get(BOARD)
    assert (answer.status_code, answer.json()["code"]) == (503, "BOARDS_UNAVAILABLE")
    assert "gamestream up" in answer.json()["message"]
    api.reader.away = False
    api.now += held.PAUSE_SECONDS
    assert value(api) == 3


def test_ready_says_why_not(api: ServingApi) -> None:
    assert api.request("GET", "/readyz").json() == {"status": "ready"}
    api.reader.away = True
    answer = api.request("GET", "/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "BOARDS_UNAVAILABLE")
    assert api.get("/v1/boards").status_code == 503
    assert api.request("GET", "/healthz").status_code == 200


def test_why_is_the_commands_own_answer(api: ServingApi) -> None:
    api.show("top_players", players(3))
    found = api.get("/v1/players/p1/why?board=top_players&limit=7").json()
    assert found["why"] == {"sentence": "it adds up"}
    assert found["verified_by"]["verdict"] == "MATCH"
    assert api.asked == [("top_players", "p1", 7)]
    assert api.get("/v1/players/p1/why").json()["code"] == "BAD_PARAMETER", "which board is asked for"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnknownEntityError("No record is about p9 (user_id); there are p1."), 404, "UNKNOWN_ID"),
        (CouldNotLookError("the archive is behind", "run `gamestream archive`"), 503, "WHY_UNAVAILABLE"),
        (TransientServiceError("Kafka", "no answer", "see `gamestream status`"), 503, "WHY_UNAVAILABLE"),
        (RuntimeError("canary"), 500, "FAULT"),
    ],
)
def test_why_not_is_a_sentence(api: ServingApi, error: Exception, status: int, code: str) -> None:
    def fail(*_: Any) -> str:
        raise error

    api.explain = fail
    answer = api.get("/v1/players/p9/why?board=top_players")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "canary" not in answer.text


def test_questions_wait_in_a_short_row_and_hold_nothing_up() -> None:
    api, go = ServingApi(wait_seconds=0.2), threading.Event()
    api.explain = lambda *_: "{}" if go.wait(10) else ""
    path = "/v1/players/p1/why?board=top_players"

    async def ask() -> list[httpx.Response]:
        questions = [api.send("GET", path, headers=api.headers) for _ in range(MOST_WAITING + 1)]
        return await asyncio.gather(*questions, api.send("GET", BOARD, headers=api.headers))

    *answers, board = api.runner.run(ask())
    assert board.status_code == 200
    assert sorted(one.json()["code"] for one in answers) == ["BUSY", *["WHY_SLOW"] * MOST_WAITING]
    assert all(one.headers["Retry-After"] for one in answers)
    go.set()
    deadline = time.monotonic() + 5
    while api.parts.explainer.waiting:
        assert time.monotonic() < deadline
        api.request("GET", "/healthz")
    assert api.get(path).json()["why"] == {}
    api.close()


def test_metrics_name_routes_and_no_ids(api: ServingApi) -> None:
    api.show("top_players", players(3))
    api.get(f"{BOARD}/players/canary")
    text = api.request("GET", "/metrics").text
    assert (
        'gamestream_api_requests_total{method="GET",route="/v1/boards/{board}/players/{player:path}",status="404"}'
        in text
    )
    assert "canary" not in text
    assert "gamestream_api_pinned_rows" in text
