"""Sending over HTTP: every event gets a verdict, whatever the server answers first, in bounded batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import httpx
import pytest

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.ingest_api import (
    MAX_BODY_BYTES,
    BatchReply,
    EventVerdict,
    IngestApi,
    TryLaterError,
)
from gamestream_dagster.events.game_play import GameRecord, play
from gamestream_dagster.events.http_sending import GIVE_UP_SECONDS, HttpSender
from gamestream_dagster.events.http_simulation import run_http_simulation
from gamestream_dagster.events.producer import SendingError
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.ingest.game_rule import GameRule
from tests.support.fakes.ingest import Api

START = 1_700_000_000_000
Answer = BatchReply | Exception


@dataclass
class FakeApi:
    """Answers as it is told to, then accepts everything."""

    answers: list[Answer | Callable[[Sequence[bytes]], BatchReply]] = field(default_factory=list)
    batches: list[list[bytes]] = field(default_factory=list)
    url: str = "http://api"

    def send(self, events: Sequence[bytes]) -> BatchReply:
        self.batches.append(list(events))
        answer = self.answers.pop(0) if self.answers else accepted
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, BatchReply) else answer(events)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def accepted(events: Sequence[bytes]) -> BatchReply:
    return BatchReply(tuple(EventVerdict("accepted", None, None, 0, place) for place in range(len(events))))


def mixed(*words: str, retry_after: float | None = None) -> BatchReply:
    return BatchReply(tuple(EventVerdict(word) for word in words), retry_after)


def records(count: int, **given: Any) -> list[GameRecord]:
    return list(play(SimulatorOptions(start_ms=START, events=count, **given)))


def sender(api: Any, clock: Clock | None = None, **given: Any) -> HttpSender:
    clock = clock or Clock()
    return HttpSender(api, sleep=clock.sleep, clock=clock, **given)


def send_all(to: HttpSender, wanted: list[GameRecord]) -> None:
    for record in wanted:
        to.add(record)
    to.flush()


def test_batches_are_bounded_in_events_and_bytes():
    api = FakeApi()
    send_all(sender(api, batch=30), records(100))
    assert [len(batch) for batch in api.batches] == [30, 30, 30, 10]
    api = FakeApi()
    large = [record._replace(value=b'"' + b"x" * 30_000 + b'"') for record in records(100)]
    send_all(sender(api), large)
    assert sum(map(len, api.batches)) == 100
    assert max(len(b'{"events":[' + b",".join(batch) + b"]}") for batch in api.batches) <= MAX_BODY_BYTES
    assert len(api.batches) == 3


def test_only_the_events_to_retry_are_sent_again_in_order_after_retry_after():
    api, clock = FakeApi([mixed("accepted", "retry", "refused", "retry", retry_after=2)]), Clock()
    wanted = records(4)
    told: list[tuple[GameRecord, str]] = []
    to = sender(api, clock, on_verdict=lambda record, verdict: told.append((record, verdict.verdict)))
    send_all(to, wanted)
    assert api.batches[1] == [wanted[1].value, wanted[3].value]
    assert clock.now == pytest.approx(2, abs=0.2)
    assert dict(to.answers.verdicts) == {"accepted": 3, "refused": 1}
    assert [record for record, _ in told] == [wanted[0], wanted[2], wanted[1], wanted[3]]
    assert to.answers.resent == 2


@pytest.mark.parametrize("seconds", [1, 7])
def test_a_whole_batch_comes_again_after_the_seconds_that_the_server_names(seconds: float):
    api, clock = FakeApi([TryLaterError("it answers 429: too fast", seconds)]), Clock()
    waits: list[tuple[float, str]] = []
    to = sender(api, clock, on_wait=lambda wait, why: waits.append((wait, why)))
    send_all(to, records(3))
    assert waits == [(seconds, "it answers 429: too fast")]
    assert api.batches[0] == api.batches[1]
    assert clock.now == pytest.approx(seconds, abs=0.2)
    assert to.answers.told == 3


def test_without_a_word_on_when_the_pauses_grow():
    api, clock = FakeApi([TryLaterError("no answer")] * 6), Clock()
    send_all(sender(api, clock), records(1))
    assert clock.now == pytest.approx(0.5 + 1 + 2 + 4 + 5 + 5, abs=0.7)


def test_it_gives_up_without_a_verdict_and_says_what_is_open():
    api, clock = FakeApi([accepted, *[TryLaterError("it answers 503: Kafka is away", 2)] * 500]), Clock()
    to = sender(api, clock, batch=10)
    with pytest.raises(SendingError, match=r"10 events got no verdict .*Kafka is away.*10 had got theirs"):
        send_all(to, records(20))
    assert clock.now <= GIVE_UP_SECONDS
    assert to.answers.unconfirmed == 10


def test_progress_however_slow_is_no_reason_to_give_up():
    api, clock = FakeApi([mixed(*["retry"] * count, "accepted", retry_after=60) for count in range(9, 0, -1)]), Clock()
    to = sender(api, clock)
    send_all(to, records(10))
    assert clock.now > GIVE_UP_SECONDS
    assert to.answers.told == 10


def test_ctrl_c_ends_the_waiting_and_counts_what_is_open():
    clock = Clock()
    api = FakeApi([TryLaterError("no answer")] * 100)
    to = sender(api, clock, stopped=lambda: clock.now > 3)
    send_all(to, records(5))
    assert clock.now < 5
    assert to.answers.unconfirmed == 5


def test_a_refused_request_ends_it():
    api = FakeApi([TerminalServiceError("HTTP API", "it answers 401", "make a key")])
    to = sender(api)
    with pytest.raises(TerminalServiceError):
        send_all(to, records(5))
    assert to.answers.unconfirmed == 5


# ---- the client


def client(answer: httpx.Response | Exception) -> IngestApi:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return IngestApi("http://api/", "gsk_key", transport=httpx.MockTransport(handle))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_answers_after_which_another_try_helps(status: int):
    answer = httpx.Response(status, json={"code": "X", "message": "Come again."}, headers={"Retry-After": "3"})
    with pytest.raises(TryLaterError, match=f"it answers {status}: Come again") as caught:
        client(answer).send([b"{}"])
    assert caught.value.retry_after == 3


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "mend the request"),
        (401, "keys create"),
        (403, "scope `ingest`"),
        (404, "gamestream status"),
        (413, "--batch"),
    ],
)
def test_answers_after_which_none_does(status: int, said: str):
    with pytest.raises(TerminalServiceError, match=said):
        client(httpx.Response(status, text="<html>")).send([b"{}"])


@pytest.mark.parametrize("date", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "soon", "²"])
def test_a_retry_after_that_is_no_number_of_seconds_is_left_to_the_sender(date: str):
    headers = {"Retry-After": date.encode()}
    with pytest.raises(TryLaterError) as caught:
        client(httpx.Response(503, headers=headers)).send([b"{}"])
    assert caught.value.retry_after is None


@pytest.mark.parametrize("error", [httpx.ConnectError("no"), httpx.ReadTimeout("no"), httpx.RemoteProtocolError("no")])
def test_no_answer_is_worth_another_try_and_tells_no_key(error: Exception):
    with pytest.raises(TryLaterError, match="does not answer") as caught:
        client(error).send([b"{}"])
    assert "gsk_" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://api", "http://:x"])
def test_what_is_no_address(url: str):
    with pytest.raises(TerminalServiceError, match="is no address"):
        IngestApi(url, "gsk_key").send([b"{}"])


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"verdicts": []}', '{"verdicts": [{"index": 1}]}', '{"verdicts": 7}']
)
def test_an_answer_without_a_verdict_for_each_event(content: str):
    with pytest.raises(TerminalServiceError, match="a verdict for each event"):
        client(httpx.Response(200, text=content)).send([b"{}"])


# ---- against the application itself


class Through(httpx.BaseTransport):
    """To the application on fakes."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.api.request("POST", request.url.path, content=request.read(), headers=request.headers)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def served():
    api = Api()
    api.parts.door._rule = GameRule()
    yield api
    api.close()


def now_options(**given: Any) -> SimulatorOptions:
    import time

    return SimulatorOptions(**{"start_ms": int(time.time() * 1000), "rate": 5000, "events": 2000, **given})


def test_the_truth_is_what_the_application_stored(served: Api, tmp_path):
    path = tmp_path / "truth.parquet"
    api = IngestApi("http://api", served.key.token, transport=Through(served))
    result = run_http_simulation(now_options(late=5, dup=4, bad=4), api, path, paced=False, batch=100)
    answers = result.answers
    assert result.sent == 2000
    assert answers.verdicts["refused"] == result.kinds["bad"] == sum(answers.refused.values()) > 40
    assert answers.verdicts["duplicate"] == result.kinds["dup"] > 40
    assert answers.verdicts["accepted"] == len(served.kafka.stored)
    assert answers.late == result.kinds["late"] > 40
    assert len(answers.refused) >= 10
    stored = [json.loads(sent.value) for sent in served.kafka.stored]
    late = {row[0] for row in duckdb.sql(f"SELECT event_id FROM '{path}' WHERE reason = 'LATE'").fetchall()}
    points: dict[str, int] = {}
    for event in stored:
        if event["event_type"] == "score" and event["event_id"] not in late:
            points[event["user_id"]] = points.get(event["user_id"], 0) + event["properties"]["score"]
    players = duckdb.sql(f"SELECT user_id, total_score FROM '{tmp_path}/truth.players.parquet'").fetchall()
    assert dict(players) == points
    summary = json.loads((tmp_path / "truth.json").read_text())
    assert summary["records"] == 2000


def test_kafka_that_confirms_nothing_for_a_while_loses_nothing(served: Api, tmp_path, monkeypatch):
    monkeypatch.setattr("gamestream_dagster.events.http_sending.SLICE_SECONDS", 0.01)
    served.kafka.fail = set(range(40, 160))
    api = IngestApi("http://api", served.key.token, transport=Through(served))
    quick = now_options(events=200)
    clock = Clock()
    to = HttpSender(api, 50, sleep=clock.sleep, clock=clock)
    for record in play(quick):
        to.add(record)
    to.flush()
    ids = [json.loads(sent.value)["event_id"] for sent in served.kafka.stored]
    assert len(ids) == len(set(ids)) == to.answers.verdicts["accepted"] == 200
    assert to.answers.resent >= 120


def test_a_wrong_key_says_what_to_do(served: Api):
    api = IngestApi("http://api", "gsk_0000000000000000_" + "x" * 43, transport=Through(served))
    with pytest.raises(TerminalServiceError, match="gamestream keys create"):
        run_http_simulation(now_options(), api, None, paced=False)


def test_paced_events_are_sent_when_they_are_due():
    api = FakeApi()
    result = run_http_simulation(SimulatorOptions(start_ms=START, rate=400, duration=0.8), api, None)
    assert 0.5 < result.seconds < 3
    assert 2 < len(api.batches) < 30
    assert sum(map(len, api.batches)) == result.sent > 200
