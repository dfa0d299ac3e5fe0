"""Sending: what a message says, and that no address is in a log, an error or a message."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from gamestream_dagster.alerts.delivery import AppriseSender, Letter, addresses, digest, letter
from gamestream_dagster.alerts.messages import Waiting
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.alerts.store import Change, Severity

SECRET = "t0ps3cret-token"
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DETAILS = {
    "condition": "kafka_consumer_lag > 100000",
    "labels": {"flink_job": "a"},
    "value": 200000.0,
    "runbook": "docs/runbooks/high_kafka_lag.md",
    "evidence": {'kafka_consumer_lag{flink_job="a"}': {"value": 200000.0, "read_up_to": {"user-score p0": 17}}},
}


def message(number: int = 0, **changes: Any) -> Waiting:
    values = {
        "message_id": str(number),
        "alert_id": 'high_kafka_lag{flink_job="a"}',
        "route": "team",
        "change": Change.RAISED,
        "severity": Severity.CRITICAL,
        "summary": "200k records wait",
        "details": DETAILS,
        "created_at": NOW + timedelta(seconds=number),
        "attempts": 0,
    }
    return Waiting(**{**values, **changes})


class Hook(BaseHTTPRequestHandler):
    received: list[dict[str, Any]]
    status: int

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    handler = type("Handler", (Hook,), {"received": [], "status": 200})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def address(server: HTTPServer) -> str:
    return f"json://user:{SECRET}@127.0.0.1:{server.server_port}/{SECRET}"


def test_a_message_says_what_how_bad_why_and_what_to_do() -> None:
    text = letter(message(), "http://127.0.0.1:3000")
    assert text.title == 'FIRING critical: high_kafka_lag{flink_job="a"}'
    for part in ("200k records wait", "200000", "kafka_consumer_lag > 100000", "user-score p0", "12:00:00 UTC",
                 "docs/runbooks/high_kafka_lag.md", "http://127.0.0.1:3000"):  # fmt: skip
        assert part in text.body
    assert letter(message(change=Change.CLEARED), "x").title.startswith("RESOLVED")
    assert letter(message(change=Change.BLIND), "x").title.startswith("NO DATA")


def test_an_alert_of_a_sensor_shows_its_own_facts() -> None:
    parked = message(alert_id="job/a_v1", details={"choices": ["--keep"], "reason": "", "state": None})
    body = letter(parked, "x").body
    assert "choices: ['--keep']" in body
    assert "reason" not in body


def test_a_flood_is_one_message_with_the_worst_severity() -> None:
    many = [message(number, severity=Severity.WARNING) for number in range(60)] + [message(61)]
    found = digest(many, "x")
    assert found.title == "61 messages about alerts"
    assert found.severity is Severity.CRITICAL
    assert "and 11 more" in found.body


def test_apprise_delivers_and_no_log_holds_the_address(hook: HTTPServer, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    sender = AppriseSender(address(hook))
    assert sender.send(letter(message(), "x")) is None
    (received,) = hook.RequestHandlerClass.received
    assert received["title"].startswith("FIRING critical")
    assert received["type"] == "failure"
    hook.RequestHandlerClass.status = 503
    error = sender.send(letter(message(), "x"))
    assert error == "the service of the address did not take the message (HTTP 503); see that it answers"
    assert SECRET not in caplog.text + error


@pytest.mark.parametrize("wrong", ["nonsense", f"unknown://{SECRET}", f"json://a/{SECRET} json://b", "json://"])
def test_an_unusable_address_is_an_error_that_does_not_repeat_it(wrong: str) -> None:
    error = AppriseSender(wrong).send(Letter("t", "b", Change.RAISED, Severity.HIGH))
    assert error is not None
    assert "give the variable of the route one address" in error
    assert SECRET not in error


def test_a_service_that_does_not_listen_is_a_failure(hook: HTTPServer) -> None:
    gone = address(hook)
    hook.server_close()
    error = AppriseSender(gone).send(Letter("t", "b", Change.RAISED, Severity.HIGH))
    assert error is not None
    assert SECRET not in error


def test_addresses_come_from_the_environment_alone() -> None:
    found = addresses(load_book(), {"GAMESTREAM_ALERTS_TEAM": " json://a ", "GAMESTREAM_ALERTS_OTHER": "json://b"})
    assert found == {"team": "json://a"}
