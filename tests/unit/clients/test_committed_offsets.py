"""The offsets of a consumer group are read through a consumer, which is closed whatever comes of it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from gamestream_dagster.clients import kafka_admin, kafka_requests
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.connections import KafkaConnection

NEVER = -1001


class Metadata:
    def __init__(self, partitions: int, error: KafkaError | None = None) -> None:
        self.topics = {"scores": self}
        self.partitions = dict.fromkeys(range(partitions))
        self.error = error


class FakeConsumer:
    """Gives out `answers`, one for each call; an exception is raised."""

    made: list[FakeConsumer]

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.closed, self.limits = given, False, []
        FakeConsumer.made.append(self)

    def list_topics(self, topic: str, timeout: float) -> Metadata:
        return self._answer(timeout)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return self._answer(timeout)

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        return self._answer(0.1)

    def _answer(self, timeout: float) -> Any:
        self.limits.append(timeout)
        answer = ANSWERS.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


ANSWERS: list[Any] = []


def ask(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> dict[int, int]:
    FakeConsumer.made = []
    ANSWERS[:] = answers
    monkeypatch.setattr(kafka_admin, "Consumer", FakeConsumer)
    try:
        return KafkaAdmin(KafkaConnection("nowhere:1"), timeout_seconds=3).committed("readers", "scores")
    finally:
        [consumer] = FakeConsumer.made
        assert consumer.closed
        assert consumer.given["group.id"] == "readers"
        assert consumer.given["enable.auto.commit"] is False
        assert all(0 < limit <= 3 for limit in consumer.limits), "every call has its limit"


def test_partitions_without_a_commit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [TopicPartition("scores", 1, 7), TopicPartition("scores", 0, 0), TopicPartition("scores", 2, NEVER)]
    assert list(ask(monkeypatch, Metadata(3), found).items()) == [(0, 0), (1, 7)]


def test_a_topic_that_is_not_there_has_no_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Metadata(0, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert ask(monkeypatch, missing) == {}


COORDINATOR_COMES = [
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
]


@pytest.mark.parametrize("code", COORDINATOR_COMES)
def test_a_coordinator_that_is_not_there_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    found = [TopicPartition("scores", 0, 4)]
    assert ask(monkeypatch, Metadata(1), KafkaException(KafkaError(code)), found) == {0: 4}


@pytest.mark.parametrize("code", COORDINATOR_COMES)
def test_the_first_commit_waits_for_the_coordinator(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    FakeConsumer.made = []
    ANSWERS[:] = [KafkaException(KafkaError(code)), KafkaException(KafkaError(code)), [TopicPartition("scores", 0, 4)]]
    monkeypatch.setattr(kafka_admin, "Consumer", FakeConsumer)
    KafkaAdmin(KafkaConnection("nowhere:1"), timeout_seconds=3).commit("readers", "scores", {0: 4})
    assert ANSWERS == []
    assert FakeConsumer.made[0].closed


def test_a_coordinator_that_never_comes_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_admin, "_POLL_SECONDS", 1.1)
    refusals = [KafkaException(KafkaError(KafkaError.NOT_COORDINATOR))] * 4
    with pytest.raises(TransientServiceError, match="no answer from nowhere:1 within 3 s"):
        ask(monkeypatch, Metadata(1), *refusals)


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
def test_no_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    with pytest.raises(TransientServiceError, match="no answer from nowhere:1 within 3 s"):
        ask(monkeypatch, KafkaException(KafkaError(code)))
    with pytest.raises(TransientServiceError, match="no answer from nowhere:1 within 3 s"):
        ask(monkeypatch, Metadata(1), KafkaException(KafkaError(code)))


def test_a_refused_right_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TerminalServiceError, match="grant the client's principal the right"):
        ask(monkeypatch, Metadata(1), KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)))


def test_a_process_that_was_forked_opens_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    monkeypatch.setattr(kafka_requests, "AdminClient", lambda given: opened.append(given) or object())
    admin = KafkaAdmin(KafkaConnection("nowhere:1"))
    assert admin.native is admin.native
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert admin.native is admin.native
    assert len(opened) == 2
