"""Errors of Postgres and Kafka: the right type, one sentence, no password."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from sqlalchemy import event

from gamestream_dagster.clients.errors import (
    AlreadyExistsError,
    NotFoundError,
    ServiceError,
    TerminalServiceError,
    TransientServiceError,
)
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import connection_error, engine
from gamestream_dagster.connections import KafkaConnection, SecurityProtocol
from gamestream_dagster.settings import load_settings

CANARY = "canary-password"
FATAL = 'connection to server at "127.0.0.1", port 5432 failed: FATAL:  '


@pytest.fixture
def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize(
    ("text", "error", "part"),
    [
        (FATAL + 'password authentication failed for user "g"', TerminalServiceError, "password refused"),
        (FATAL + 'database "x" does not exist', TerminalServiceError, "no such database"),
        (FATAL + "the database system is starting up", TransientServiceError, "starting or stopping"),
        ("connection failed: Connection refused", TransientServiceError, "nothing listens"),
        ("connection timeout expired", TransientServiceError, "no answer"),
        (f"could not use postgresql://g:{CANARY}@host", TransientServiceError, "cannot be made or broke"),
    ],
)
def test_connection_errors_are_typed_and_hold_no_password(text: str, error: type[ServiceError], part: str):
    found = connection_error(psycopg.OperationalError(text), "127.0.0.1:5432/g")
    assert type(found) is error
    assert part in str(found)
    assert CANARY not in str(found)


def test_engine_reports_a_dead_server_in_one_sentence(tmp_path: Path, free_port: int):
    settings = load_settings(home=tmp_path, postgres_port=free_port, postgres_password=CANARY)
    with pytest.raises(TransientServiceError, match=f"nothing listens at 127.0.0.1:{free_port}/gamestream") as caught:
        engine(settings).connect()
    assert CANARY not in repr(caught.value) + repr(engine(settings))


def test_password_with_special_characters_reaches_the_driver_whole(tmp_path: Path):
    settings = load_settings(home=tmp_path, postgres_port=1, postgres_password="a@b:/c%d")
    assert engine(settings).url.password == "a@b:/c%d"
    assert engine(settings).url.host == "127.0.0.1"


def test_dead_broker_is_transient_within_the_limit(free_port: int):
    with pytest.raises(TransientServiceError, match=r"no answer from 127\.0\.0\.1"):
        KafkaAdmin(KafkaConnection(f"127.0.0.1:{free_port}"), timeout_seconds=1).describe("x")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, NotFoundError),
        (KafkaError.TOPIC_ALREADY_EXISTS, AlreadyExistsError),
        (KafkaError._TIMED_OUT, TransientServiceError),
        (KafkaError._ALL_BROKERS_DOWN, TransientServiceError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, TerminalServiceError),
        (KafkaError.INVALID_REPLICATION_FACTOR, TerminalServiceError),
        (KafkaError.NOT_LEADER_FOR_PARTITION, TransientServiceError),
        (KafkaError.LEADER_NOT_AVAILABLE, TransientServiceError),
        (KafkaError.UNKNOWN_LEADER_EPOCH, TransientServiceError),
        (KafkaError.FENCED_LEADER_EPOCH, TransientServiceError),
    ],
)
def test_kafka_codes_become_typed_errors(code: int, error: type[ServiceError]):
    found = KafkaAdmin(KafkaConnection("b:1"))._typed(KafkaException(KafkaError(code, "because")), "create topic 'x'")
    assert type(found) is error


def test_offsets_wait_for_leaders_that_move(monkeypatch: pytest.MonkeyPatch):
    admin = KafkaAdmin(KafkaConnection("b:1"), timeout_seconds=5)
    answers: list[Future[SimpleNamespace]] = [Future(), Future()]
    answers[0].set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_LEADER_EPOCH)))
    answers[1].set_result(SimpleNamespace(offset=7))
    native = SimpleNamespace(
        list_topics=lambda **_: SimpleNamespace(topics={"x": SimpleNamespace(error=None, partitions=[0])}),
        list_offsets=lambda _request, **_: {TopicPartition("x", 0): answers.pop(0)},
    )
    monkeypatch.setattr(KafkaAdmin, "native", native)
    assert admin.end_offsets("x") == {0: 7}


def test_the_environment_moves_no_connection(monkeypatch, tmp_path, free_port):
    for name, value in {"PGHOSTADDR": "192.0.2.1", "PGTARGETSESSIONATTRS": "read-only"}.items():
        monkeypatch.setenv(name, value)
    given = {}
    built = engine(load_settings(home=tmp_path, postgres_port=free_port, postgres_password=CANARY))
    event.listen(built, "do_connect", lambda _dialect, _record, _args, kwargs: given.update(kwargs))
    with pytest.raises(TransientServiceError, match="nothing listens at 127"):
        built.connect()
    assert not given["hostaddr"]
    assert given["target_session_attrs"] == "any"


def test_a_variable_that_may_be_why_is_named(monkeypatch):
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    error = connection_error(Exception('definition of service "elsewhere" not found'), "127.0.0.1:1/x")
    assert "the environment sets PGSERVICE, which may be why" in str(error)


def test_a_listener_without_tls_is_told_as_a_refused_connection():
    """librdkafka itself only says that the time is over."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_in_plain, args=(server,), daemon=True).start()
        secured = KafkaConnection(f"127.0.0.1:{server.getsockname()[1]}", SecurityProtocol.SSL)
        with pytest.raises(TerminalServiceError, match=r"does not take the connection .*kafka_security_protocol"):
            KafkaAdmin(secured, timeout_seconds=3).topics()


def _answer_in_plain(server: socket.socket) -> None:
    while True:
        try:
            link, _ = server.accept()
        except OSError:
            return
        with link:
            link.recv(100)
            link.sendall(b"no TLS here")
