"""The API decides as the catalogue's judge does, on every case of its table, and what it stores is judged alike."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameReason
from gamestream_dagster.http_server.errors import RequestRefusedError
from gamestream_dagster.ingest.batch import split
from gamestream_dagster.ingest.door import Door, Sender, Verdict
from gamestream_dagster.ingest.game_rule import GameRule
from gamestream_dagster.ingest.remembered import Remembered
from tests.support.fakes.ingest import Api, nowhere
from tests.support.game_event_cases import CATALOGUE, GameCase, all_cases, plain_event

JUDGE = GameEventJudge()
SENDER = Sender("game", "k", "203.0.113.1")
BROKEN = (GameReason.NOT_JSON, GameReason.NOT_UTF8)
"""Reasons with which the whole body may be no JSON."""


@pytest.fixture
def door(api: Api) -> Door:
    return Door(GameRule(), api.outbox, Remembered(0), nowhere)


def outcome(api: Api, door: Door, case: GameCase) -> tuple[str, str | None]:
    """Verdict and code of a case between two good events; `request` where the batch is refused whole."""
    first, last = (good_event(name, case.kafka_timestamp) for name in ("first", "last"))
    body = b'{"events":[' + b",".join([first, case.value or b"null", last]) + b"]}"
    try:
        batch = split(body)
    except RequestRefusedError as error:
        return "request", error.code
    answer = api.runner.run(door.take(batch, SENDER, case.kafka_timestamp, dry_run=False))
    found = answer.body()["verdicts"]
    assert found[0]["verdict"] == "accepted", case
    return found[1]["verdict"], found[1]["code"]


def good_event(event_id: str, at: int) -> bytes:
    return json.dumps({**plain_event(CATALOGUE.types["player_join"]), "event_id": event_id, "event_time": at}).encode()


def test_every_case_of_the_catalogue_ends_alike(api: Api, door: Door) -> None:
    differ = []
    for case in all_cases():
        if not case.value or case.value.strip(b" \t\r\n") != case.value or case.kafka_timestamp < 0:
            continue  # no element of an array as it is, or no time at which a request can come
        verdict, code = outcome(api, door, case)
        if case.reason is None:
            fits = verdict == Verdict.ACCEPTED and api_stores_the_same(api, case)
        elif verdict == "request":
            fits = case.reason in BROKEN
        else:
            fits = (verdict, code) == (Verdict.REFUSED, case.reason) or case.reason in BROKEN
        if not fits:
            differ.append((case.name, case.reason, verdict, code))
    assert not differ


def api_stores_the_same(api: Api, case: GameCase) -> bool:
    """What is stored is the same event to the stream, but for the address."""
    sent, stored = JUDGE.judge(case.value, case.kafka_timestamp), None
    for record in api.kafka.stored[-3:]:
        found = JUDGE.judge(record.value, case.kafka_timestamp)
        if isinstance(found, GameEvent) and found.digest == sent.digest:
            stored = found
    return stored is not None and stored == sent._replace(ip_address=None)


def real(api: Api) -> Api:
    api.parts.door._rule = GameRule()
    return api


def now_event(**more: Any) -> dict[str, Any]:
    made = {"event_id": "e", "user_id": "u", "event_type": "player_join", "event_time": int(time.time() * 1000)}
    return {**made, **more}


def first(api: Api, event: dict[str, Any]) -> dict[str, Any]:
    return api.post([event]).json()["verdicts"][0]


@pytest.mark.parametrize(
    ("more", "verdict", "code"),
    [
        ({}, "accepted", None),
        ({"event_time": int(time.time() * 1000) - 3_600_000}, "accepted", "LATE"),
        ({"event_time": int(time.time() * 1000) + 7_200_000}, "refused", "FUTURE_TIMESTAMP"),
        ({"event_time": int(time.time())}, "refused", "BAD_TIMESTAMP"),
        ({"event_type": "nothing"}, "refused", "UNKNOWN_EVENT_TYPE"),
        ({"user_id": ""}, "refused", "MISSING_FIELD"),
        ({"properties": {"more": 1}}, "accepted", "UNKNOWN_FIELD"),
        ({"padding": "x" * 33_000}, "refused", "TOO_LARGE"),
    ],
)
def test_a_verdict_of_the_catalogue(api: Api, more: dict[str, Any], verdict: str, code: str | None) -> None:
    found = first(real(api), now_event(**more))
    assert (found["verdict"], found["code"]) == (verdict, code)
    if code:
        # a sentence, in which a field keeps its name
        assert re.match(r"[A-Z]|(event_time|event_type|user_id) ", found["message"])
        assert found["message"].endswith(".")


def test_an_event_that_is_not_about_a_player_has_its_id_as_key(api: Api) -> None:
    health = {"server_id": "s", "latency_ms": 1, "error_rate": 0, "region": "EU"}
    found = first(real(api), now_event(event_type="server_health", user_id=None, properties=health))
    assert found["verdict"] == "accepted"
    assert api.kafka.stored[0].key == b"e"


def test_another_address_or_country_is_no_conflict(api: Api) -> None:
    real(api)
    event = now_event()
    assert first(api, {**event, "ip_address": "203.0.113.1"})["verdict"] == "accepted"
    assert first(api, {**event, "ip_address": "203.0.113.2", "country": "SE"})["verdict"] == "duplicate"
    assert first(api, {**event, "session_id": "s"})["code"] == "DUP_CONFLICT"
