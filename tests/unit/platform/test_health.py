"""Waiting and asking."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gamestream_dagster.platform import flink, health, kafka, postgres
from gamestream_dagster.settings import Settings


@pytest.fixture
def server():
    """An HTTP server whose status and body a test sets."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.status, made.body = 200, b"{}"
    made.url = f"http://127.0.0.1:{made.server_port}"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_an_answer_is_well(server):
    assert health.http_ok(server.url) is None


def test_an_error_status_is_told(server):
    server.status = 503
    assert health.http_ok(server.url) == f"{server.url} answers 503"


def test_silence_is_told():
    assert "no answer from http://127.0.0.1:1" in health.http_ok("http://127.0.0.1:1")


def test_a_taskmanager_is_there_when_the_cluster_has_slots(server):
    settings = Settings(flink_rest_url=server.url)
    server.body = b'{"slots-total": 0}'
    assert flink.probe_taskmanager(settings) == "the JobManager has no TaskManager yet"
    server.body = b'{"slots-total": 8}'
    assert flink.probe_taskmanager(settings) is None


def test_waiting_ends_with_the_last_words():
    assert health.wait_until(lambda: "still not", 0.05, poll=0.01) == "still not"


def test_waiting_ends_when_all_is_well():
    answers = iter(["no", "no", None])
    assert health.wait_until(lambda: next(answers), 5, poll=0.01) is None


def test_a_kafka_that_is_not_there_is_told():
    assert "no answer from 127.0.0.1:1" in kafka.probe(Settings(kafka_bootstrap="127.0.0.1:1"))


def test_a_postgres_that_is_not_there_is_told_without_the_password(tmp_path):
    settings = Settings(home=tmp_path, postgres_port=1, postgres_password="canary-4711")
    assert postgres.probe(settings) == "no answer from 127.0.0.1:1"
