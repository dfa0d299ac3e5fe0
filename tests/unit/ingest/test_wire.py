"""The server on a socket: smuggled requests, slow bodies, early answers, and the end by SIGTERM's way."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
import uvicorn

from gamestream_dagster.http_server.running import configuration
from gamestream_dagster.platform.ingest import probe
from gamestream_dagster.port_block import STANDARD_PORTS
from gamestream_dagster.settings import Settings
from tests.support.fakes.ingest import Api, event

LIMIT_SECONDS = 20
BATCH = json.dumps({"events": [event()]}).encode()


@dataclass
class Running:
    api: Api
    port: int
    server: uvicorn.Server

    def talk(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Send bytes as they are, and read until the server closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS) as line:
            with suppress(ConnectionError):  # it may have answered and closed by now
                for part in parts:
                    line.sendall(part)
                    time.sleep(pause)
            return read_all(line)

    def head(self, *lines: str) -> bytes:
        return "\r\n".join(
            ["POST /v1/events HTTP/1.1", "Host: api", "Content-Type: application/json",
             f"Authorization: Bearer {self.api.key.token}", *lines, "", ""]
        ).encode()  # fmt: skip


def read_all(line: socket.socket) -> bytes:
    found = b""
    line.settimeout(2)
    with suppress(TimeoutError, ConnectionResetError):
        while part := line.recv(65536):
            found += part
            line.settimeout(0.3)
    return found


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@contextmanager
def served(body_seconds: float) -> Iterator[Running]:
    """The server on a free port; afterwards it has ended as after SIGTERM."""
    api = Api(body_seconds=body_seconds)
    config = configuration(api.app, "127.0.0.1", 0)
    config.log_config = None
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (server.started and api.outbox.state.ready):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Running(api, listening.getsockname()[1], server)
        server.should_exit = True
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive()
    api.runner.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with served(body_seconds=1) as found:
        yield found


def test_a_request_is_answered(running: Running) -> None:
    answer = running.talk(running.head(f"Content-Length: {len(BATCH)}", "Connection: close"), BATCH)
    assert statuses(answer) == [200]
    assert b"server:" not in answer.lower()


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api\r\n\r\n"),
        (("Content-Length: 5", "Content-Length: 6"), b"{}    "),
        (("Content-Length: +5",), b"{}   "),
        (("Content-Length: 0x5",), b"{}   "),
        (("Content-Length: -1",), b""),
        (("Content-Length: 5 ,5",), b"{}   "),
        (("Transfer-Encoding: xchunked",), b"0\r\n\r\n"),
        (("Transfer-Encoding: chunked, chunked",), b"0\r\n\r\n"),
        (("Transfer-Encoding: identity",), b"0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"zz\r\n{}\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"-1\r\n{}\r\n0\r\n\r\n"),
        (("X-Bad Header: 1",), b""),
        (("X-Bad: a\x00b",), b""),
        (("X-Bad : 1",), b""),
    ],
)
def test_a_smuggled_or_broken_request_is_refused(running: Running, lines: tuple[str, ...], body: bytes) -> None:
    before = running.api.kafka.produced
    answer = running.talk(running.head(*lines), body)
    assert statuses(answer) in ([400], [501])
    assert running.api.kafka.produced == before


def test_a_head_without_end_is_refused(running: Running) -> None:
    answer = running.talk(b"GET /healthz HTTP/1.1\r\nHost: api\r\n", *[b"X: " + b"y" * 8000 + b"\r\n"] * 12)
    assert statuses(answer) in ([400], [431], [])


def test_a_slow_body_has_a_limit(running: Running) -> None:
    began = time.monotonic()
    answer = running.talk(running.head("Content-Length: 1000"), b'{"events":[')
    assert statuses(answer) == [408]
    assert b"BODY_TOO_SLOW" in answer
    assert time.monotonic() - began < LIMIT_SECONDS


def test_a_body_that_drips_has_the_same_limit(running: Running) -> None:
    answer = running.talk(running.head("Content-Length: 1000"), *[b"{"] * 8, pause=0.2)
    assert statuses(answer) in ([408], [])  # a reset may overtake the answer


def test_a_large_body_is_refused_before_it_is_sent(running: Running) -> None:
    answer = running.talk(running.head("Content-Length: 99999999", "Expect: 100-continue"))
    assert statuses(answer) == [413]


def test_a_body_without_a_length_is_cut_at_the_limit(running: Running) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = running.talk(running.head("Transfer-Encoding: chunked"), *[chunk] * 18, b"0\r\n\r\n")
    assert statuses(answer) == [413]


def test_a_sender_that_goes_away_stores_nothing_and_leaves_its_place(running: Running) -> None:
    before = running.api.kafka.produced
    with socket.create_connection(("127.0.0.1", running.port)) as line:
        line.sendall(running.head(f"Content-Length: {len(BATCH)}") + BATCH[:-5])
    deadline = time.monotonic() + LIMIT_SECONDS
    while running.api.bodies.held:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert running.api.kafka.produced == before


def test_the_connection_goes_on_after_a_refusal(running: Running) -> None:
    refused = running.head("Content-Length: 2").replace(running.api.key.token.encode(), b"x") + b"{}"
    good = running.head(f"Content-Length: {len(BATCH)}", "Connection: close") + BATCH
    assert statuses(running.talk(refused + good)) == [401, 200]


def test_the_platform_sees_whether_events_are_taken(running: Running) -> None:
    settings = Settings(port_base=running.port - list(STANDARD_PORTS).index("ingest"))
    kafka = running.api.kafka
    try:
        assert probe(settings) is None
        kafka.topic_exists = False
        running.api.look()
        assert probe(settings) is None, "`gamestream apply` comes after `up`"
        kafka.away = True
        running.api.look()
        assert "Kafka does not answer" in (probe(settings) or "")
    finally:
        kafka.away, kafka.topic_exists = False, True
        running.api.look()


def test_what_is_under_way_is_answered_before_the_end() -> None:
    """As after SIGTERM: no new requests, the delivery reports of those under way, then the end."""
    with served(body_seconds=5) as found:
        api, deadline = found.api, time.monotonic() + LIMIT_SECONDS
        api.kafka.held = True
        with socket.create_connection(("127.0.0.1", found.port), timeout=LIMIT_SECONDS) as line:
            line.sendall(found.head(f"Content-Length: {len(BATCH)}") + BATCH)
            while not api.kafka.produced:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            found.server.should_exit = True
            time.sleep(0.1)
            api.kafka.held = False
            assert statuses(read_all(line)) == [200]
    assert len(api.kafka.stored) == 1
