"""POST /v1/events: the verdict of each event, receipts, repeats, and what happens when Kafka fails."""

from __future__ import annotations

import json
import threading
import time

import pytest

from gamestream_dagster.ingest import outbox as outbox_module
from gamestream_dagster.ingest.door import GEO_HEADER
from gamestream_dagster.ingest.geo import Located
from gamestream_dagster.ingest.models import BatchAnswer
from gamestream_dagster.ingest.remembered import HORIZON_SECONDS
from tests.support.fakes.ingest import TOPIC, Api, event, verdicts

GOOD, BAD = event(1), {"event_id": "bad", "reason": "OUT_OF_RANGE"}


def test_good_bad_good_has_a_verdict_for_each_in_order(api: Api) -> None:
    answer = api.post([GOOD, BAD, event(2)])
    found = BatchAnswer.model_validate(answer.json())
    assert (found.received, found.accepted, found.refused, found.retry) == (3, 2, 1, 0)
    first, second, third = found.verdicts
    assert (first.verdict, first.topic, first.partition, first.offset) == ("accepted", TOPIC, 1, 101)
    assert (second.index, second.event_id, second.verdict, second.code) == (1, "bad", "refused", "OUT_OF_RANGE")
    assert (second.message, second.topic) == ("as the test wants it", None)
    assert (third.event_id, third.offset) == ("e2", 102)
    assert "Retry-After" not in answer.headers
    assert [sent.key for sent in api.kafka.stored] == [b"u1", b"u2"]


def test_the_same_batch_again_is_duplicate_with_the_first_receipts(api: Api) -> None:
    first, second = api.post([GOOD, BAD, event(2)]).json(), api.post([GOOD, BAD, event(2)]).json()
    assert [one["verdict"] for one in second["verdicts"]] == ["duplicate", "refused", "duplicate"]
    for place in (0, 2):
        assert [first["verdicts"][place][name] for name in ("topic", "partition", "offset")] == [
            second["verdicts"][place][name] for name in ("topic", "partition", "offset")
        ]
    assert second["duplicate"] == 2
    assert len(api.kafka.stored) == 2


def test_an_id_is_forgotten_after_twelve_minutes(api: Api) -> None:
    api.post([GOOD])
    api.now = HORIZON_SECONDS - 1
    assert verdicts(api.post([GOOD])) == ["duplicate"]
    api.now = HORIZON_SECONDS + 1
    assert verdicts(api.post([GOOD])) == ["accepted"]


def test_a_repeat_within_a_batch_has_the_receipt_of_the_first(api: Api) -> None:
    answer = api.post([GOOD, event(2), GOOD]).json()
    assert [one["verdict"] for one in answer["verdicts"]] == ["accepted", "accepted", "duplicate"]
    assert answer["verdicts"][2]["offset"] == answer["verdicts"][0]["offset"]
    assert len(api.kafka.stored) == 2


def test_a_repeat_of_an_event_that_was_not_delivered_is_retry(api: Api) -> None:
    api.kafka.fail = {0}
    answer = api.post([GOOD, GOOD, event(2)])
    assert verdicts(answer) == ["retry", "retry", "accepted"]
    assert answer.headers["Retry-After"] == "2"
    assert answer.json()["verdicts"][0]["code"] == "NOT_DELIVERED"


def test_the_same_id_with_other_content_is_a_conflict(api: Api) -> None:
    assert verdicts(api.post([event(1, score=1), event(1, score=2)])) == ["accepted", "refused"]
    answer = api.post([event(1, score=3), event(1, score=1)]).json()
    assert [(one["verdict"], one["code"]) for one in answer["verdicts"]] == [
        ("refused", "DUP_CONFLICT"), ("duplicate", None),
    ]  # fmt: skip


def test_another_order_of_keys_is_the_same_event(api: Api) -> None:
    api.post(b'{"events":[{"event_id":"a","user_id":"b","x":1}]}')
    assert verdicts(api.post(b'{"events":[{"x":1,  "user_id":"b","event_id":"a"}]}')) == ["duplicate"]


def test_ids_of_another_app_are_no_duplicates_and_tell_nothing(api: Api) -> None:
    other = api.store.add("other").token
    api.post([GOOD])
    assert verdicts(api.post([GOOD], token=other)) == ["accepted"]


def test_ids_that_join_to_the_same_text_are_not_confused(api: Api) -> None:
    batch = [{"user_id": "a", "event_id": "bc"}, {"user_id": "ab", "event_id": "c"}]
    assert verdicts(api.post(batch)) == ["accepted", "accepted"]


def test_a_dry_run_stores_and_remembers_nothing(api: Api) -> None:
    answer = api.post([GOOD, BAD, GOOD], path="/v1/events?dry_run=true")
    assert verdicts(answer) == ["accepted", "refused", "duplicate"]
    assert answer.json()["dry_run"] is True
    assert answer.json()["verdicts"][0]["offset"] is None
    assert api.kafka.produced == 0
    assert verdicts(api.post([GOOD])) == ["accepted"]


def test_a_dry_run_needs_no_kafka(api: Api) -> None:
    api.kafka.away = True
    api.look()
    assert verdicts(api.post([GOOD], path="/v1/events?dry_run=1")) == ["accepted"]


def test_kafka_away_is_503_and_nothing_is_sent(api: Api) -> None:
    api.kafka.away = True
    api.look()
    answer = api.post([GOOD])
    assert (answer.status_code, answer.json()["code"]) == (503, "KAFKA_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "2"
    assert api.kafka.produced == 0
    api.kafka.away = False
    api.look()
    assert verdicts(api.post([GOOD])) == ["accepted"]


def test_a_missing_topic_says_what_to_do(api: Api) -> None:
    api.kafka.topic_exists = False
    api.look()
    answer = api.post([GOOD])
    assert (answer.status_code, answer.json()["code"]) == (503, "NO_TOPIC")
    assert "`gamestream apply`" in answer.json()["message"]


def test_a_full_queue_is_retry_for_what_did_not_fit(api: Api) -> None:
    api.kafka.full = 1
    assert verdicts(api.post([event(1), event(2)])) == ["retry", "accepted"]


def test_503_where_no_event_was_confirmed(api: Api) -> None:
    api.kafka.fail = {0, 1}
    answer = api.post([event(1), event(2)])
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    api.kafka.fail = set()
    assert verdicts(api.post([event(1), event(2)])) == ["accepted", "accepted"]


def test_a_report_that_comes_after_the_answer_is_remembered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_GRACE_SECONDS", -0.9)
    api.kafka.held = True
    assert verdicts(api.post([GOOD, BAD])) == ["retry", "refused"]
    api.kafka.held = False
    deadline = time.monotonic() + 5
    while not len(api.remembered):
        assert time.monotonic() < deadline
        api.request("GET", "/healthz")
    assert verdicts(api.post([GOOD])) == ["duplicate"]


def test_a_client_that_can_send_no_more_is_replaced(api: Api) -> None:
    api.kafka.fatal = True
    assert api.post([GOOD]).status_code == 503
    deadline = time.monotonic() + 5
    while len(api.kafka.clients) < 2:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    assert verdicts(api.post([GOOD])) == ["accepted"]


def test_the_exact_bytes_go_to_kafka_with_headers_that_name_the_app(api: Api) -> None:
    raw = b'{ "event_id":"e1" ,"user_id":"u1", "n": 1.00, "e": 1e400, "b": 12345678901234567890123, "t":"\\u00e9"}'
    assert verdicts(api.post(b'{"events": [ ' + raw + b" ]}")) == ["accepted"]
    [sent] = api.kafka.stored
    assert sent.value == raw
    assert sent.headers.keys() == {"gamestream-app", "gamestream-key-id", "gamestream-received-ms", GEO_HEADER}
    assert (sent.headers["gamestream-app"], sent.headers["gamestream-key-id"]) == ("game", api.key.key_id)
    assert abs(int(sent.headers["gamestream-received-ms"]) - time.time() * 1000) < 60_000


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('{"event_id":"e","user_id":"u","ip_address":"203.0.113.9","n":1.0}', '{"event_id":"e","user_id":"u","n":1.0}'),
        ('{"ip_address":"203.0.113.9","event_id":"e","user_id":"u"}', '{"event_id":"e","user_id":"u"}'),
        ('{ "event_id":"e", "user_id":"u" , "ip\\u005faddress" : "203.0.113.9" }', '{"event_id":"e","user_id":"u"}'),
        ('{"event_id":"e","user_id":"u","ip_address":null}', '{"event_id":"e","user_id":"u"}'),
    ],
)  # fmt: skip
def test_an_address_in_an_event_does_not_reach_kafka(api: Api, sent: str, stored: str) -> None:
    assert verdicts(api.post(b'{"events":[' + sent.encode() + b"]}")) == ["accepted"]
    assert api.kafka.stored[0].value.decode() == stored


def test_a_known_country_takes_the_place_of_the_address(api: Api) -> None:
    places = {"203.0.113.9": "GB", "198.51.100.7": "SE"}
    api.parts.door._locate = lambda address: Located(places.get(address, "unknown"), "geo-2026-01-01")
    sent = [event(1, ip_address="203.0.113.9"), event(2), event(3, country="FR"), event(4, ip_address="x")]
    api.post([*sent, event(5, country="", ip_address=""), event(6, country=None, ip_address=None)])
    found = [json.loads(one.value) for one in api.kafka.stored]
    assert [one.get("country") for one in found] == ["GB", "SE", "FR", None, "SE", "SE"]
    assert not [one for one in found if "ip_address" in one]
    versions = [one.headers.get(GEO_HEADER) for one in api.kafka.stored]
    assert versions == ["geo-2026-01-01", "geo-2026-01-01", None, *["geo-2026-01-01"] * 3]


def test_no_address_and_no_key_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    api.post([event(1, ip_address="203.0.113.9", note="canary-text")])
    api.post(b"canary-text", token="gsk_canary")
    api.request("GET", "/v1/canary-path?canary=1")
    lines = [record.getMessage() for record in caplog.records if record.name == "gamestream.access"]
    assert [json.loads(line)["route"] for line in lines] == ["/v1/events", "/v1/events", "unmatched"]
    assert json.loads(lines[0])["accepted"] == 1
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("gamestream"))
    for secret in ("203.0.113.9", "198.51.100.7", "canary", api.key.secret):
        assert secret not in told


def test_five_hundred_events_are_taken_and_one_more_is_413(api: Api) -> None:
    assert api.post([event(n) for n in range(500)]).json()["accepted"] == 500
    answer = api.post([event(n) for n in range(501)])
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_MANY_EVENTS")


def test_an_empty_batch_is_fine(api: Api) -> None:
    assert api.post([]).json() == {
        "received": 0, "accepted": 0, "duplicate": 0, "refused": 0, "retry": 0, "dry_run": False, "verdicts": [],
    }  # fmt: skip


def test_a_batch_whose_last_event_is_broken_leaves_nothing_behind(api: Api) -> None:
    assert api.post(b'{"events":[{"event_id":"a","user_id":"b"},{"event_id":}]}').status_code == 400
    assert api.kafka.produced == 0


def test_a_metric_counts_events_by_app_and_verdict(api: Api) -> None:
    api.post([GOOD, BAD])
    api.post([GOOD], path="/v1/events?dry_run=true")
    text = api.request("GET", "/metrics").text
    assert 'gamestream_ingest_events_total{app="game",verdict="accepted"} 1.0' in text
    assert 'gamestream_ingest_refused_events_total{app="game",code="OUT_OF_RANGE"} 1.0' in text
    assert 'gamestream_ingest_requests_total{method="POST",route="/v1/events",status="200"} 2.0' in text
    assert "gamestream_ingest_remembered_events 1.0" in text
