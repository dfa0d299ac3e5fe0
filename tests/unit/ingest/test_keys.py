"""Keys: what they look like, what is stored of them, how look-ups are remembered, and when a key is refused."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gamestream_dagster.http_server import key_ring
from gamestream_dagster.http_server.key_ring import FRESH_SECONDS, STALE_SECONDS, KeyRing
from gamestream_dagster.http_server.keys import Scope, hash_of, new_secret, parse, signature, signing_secret
from tests.support.fakes.ingest import Api, FakeKeys, event, verdicts

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def status(api: Api, token: str | None = None) -> int:
    return api.post([event()], token=token).status_code


def test_a_key_has_32_random_bytes_and_its_hash_alone_is_stored() -> None:
    made, other = new_secret(), new_secret()
    assert len(made.secret) == 43
    assert made.secret != other.secret
    assert made.key_id != other.key_id
    given = parse(made.token)
    assert given is not None
    assert (given.key_id, given.secret) == (made.key_id, made.secret)
    assert len(hash_of(made.secret)) == 64
    assert made.secret not in hash_of(made.secret)


@pytest.mark.parametrize("token", ["", "gsk_", "gsk_0_0", "x" * 64, "gsk_" + "0" * 16 + "_" + "a" * 44])
def test_what_is_no_key_is_not_looked_up(api: Api, token: str) -> None:
    assert parse(token) is None
    assert status(api, token or "Bearer") == 401
    assert api.store.asked == 0


def test_a_signing_secret_is_of_its_key_and_of_the_server() -> None:
    assert signing_secret("a", "s") != signing_secret("b", "s")
    assert signing_secret("a", "s") != signing_secret("a", "t")
    # the example of docs/ingest-api.md
    assert signature("secret", "1767225600", b'{"events":[]}').startswith("v1=")


def test_a_wrong_secret_and_an_unknown_id_have_one_answer(api: Api) -> None:
    wrong = f"gsk_{api.key.key_id}_{new_secret().secret}"
    first, second = api.post([event()], token=wrong), api.post([event()], token=new_secret().token)
    assert first.status_code == second.status_code == 401
    assert first.json() == second.json()
    assert first.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, 200),
        ({"expires_at": NOW + HOUR}, 200),
        ({"expires_at": NOW - HOUR}, 401),
        ({"revoked_at": NOW}, 401),
        ({"revoked_at": NOW, "expires_at": NOW + HOUR}, 401),
        ({"scopes": frozenset({Scope.READ})}, 403),
        ({"scopes": frozenset(Scope)}, 200),
    ],
)
def test_when_a_key_is_valid(api: Api, facts: dict[str, Any], expected: int) -> None:
    assert status(api, api.store.add(**facts).token) == expected


def test_a_look_up_is_remembered_for_seconds(api: Api) -> None:
    assert [status(api) for _ in range(3)] == [200, 200, 200]
    assert api.store.asked == 1
    api.now = FRESH_SECONDS + 0.1
    assert status(api) == 200
    assert api.store.asked == 2


def test_a_revoked_key_is_refused_within_seconds(api: Api) -> None:
    assert status(api) == 200
    api.store.known[api.key.key_id] = replace(api.store.known[api.key.key_id], revoked_at=NOW)
    assert status(api) == 200
    api.now = FRESH_SECONDS + 0.1
    assert status(api) == 401


def test_a_new_key_works_though_it_was_asked_for_before(api: Api) -> None:
    made = api.store.add()
    key = api.store.known.pop(made.key_id)
    assert status(api, made.token) == 401
    api.store.known[made.key_id] = key
    assert status(api, made.token) == 401, "remembered for a moment"
    api.now = key_ring.PAUSE_SECONDS + 0.1
    assert status(api, made.token) == 200


def test_known_keys_work_while_postgres_is_away(api: Api) -> None:
    assert status(api) == 200
    api.store.away = True
    for moment in (FRESH_SECONDS + 1, 60, STALE_SECONDS - 1):
        api.now = moment
        assert status(api) == 200
    api.now = STALE_SECONDS + 1
    answer = api.post([event()])
    assert (answer.status_code, answer.json()["code"]) == (503, "KEYS_UNAVAILABLE")
    assert "Retry-After" in answer.headers
    api.store.away = False
    api.now += key_ring.PAUSE_SECONDS + 0.1
    assert status(api) == 200


def test_an_unknown_key_is_503_and_not_401_while_postgres_is_away(api: Api) -> None:
    api.store.away = True
    assert status(api) == 503


def test_postgres_is_not_asked_at_every_request_while_it_is_away(api: Api) -> None:
    api.store.away = True
    for _ in range(20):
        assert status(api) == 503
    assert api.store.asked == 1


def test_a_postgres_that_hangs_does_not_hold_up_known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "WAIT_SECONDS", 0.05)
    release = threading.Event()
    store, now = FakeKeys(), 0.0
    made = store.add()
    ring = KeyRing(store, lambda: now)

    async def check() -> str:
        return (await ring.check(made.token, Scope.INGEST)).app

    with asyncio.Runner() as runner:
        assert runner.run(check()) == "game"
        find = store.find
        monkeypatch.setattr(store, "find", lambda key_id: release.wait(10) and find(key_id))
        now = FRESH_SECONDS + 1
        assert runner.run(check()) == "game"
        release.set()


def test_many_requests_at_once_make_one_look_up() -> None:
    store = FakeKeys()
    made = store.add()
    ring = KeyRing(store)

    async def all_at_once() -> None:
        await asyncio.gather(*(ring.check(made.token, Scope.INGEST) for _ in range(50)))

    asyncio.run(all_at_once())
    assert store.asked == 1


def test_guesses_do_not_push_known_keys_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.ring, "_unknown", key_ring.LRUCache(2))
    assert verdicts(api.post([event()])) == ["accepted"]
    asked = api.store.asked
    for _ in range(10):
        assert status(api, new_secret().token) == 401
    assert status(api) == 200
    assert api.store.asked == asked + 10
    assert len(api.ring._unknown) == 2
