"""The producer without a broker: it says what is wrong, within its limit, and keeps the account of each record."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError

from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.events import producer as module
from gamestream_dagster.events.producer import PRODUCER_SETTINGS, ScoreProducer, SendingError


class FakeMetadata:
    def __init__(self, error: object = None) -> None:
        self.topics = {"scores": self}
        self.error = error


class FakeMessage:
    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42


class FakeKafka:
    """The native producer: holds reports back until polled, and can be full or out of reach."""

    full = 0
    fail: KafkaError | None = None
    deaf = False

    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.reports: list = []

    def list_topics(self, topic: str, timeout: float) -> FakeMetadata:
        return FakeMetadata()

    def produce(self, topic, value, key, partition, on_delivery) -> None:
        if FakeKafka.full:
            FakeKafka.full -= 1
            raise BufferError("Local: Queue full")
        self.reports.append(on_delivery)

    def poll(self, seconds: float) -> None:
        while self.reports and not FakeKafka.deaf:
            self.reports.pop(0)(FakeKafka.fail, FakeMessage())

    def flush(self, seconds: float) -> int:
        self.poll(0)
        return len(self.reports)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(module, "Producer", FakeKafka)
    monkeypatch.setattr(FakeKafka, "full", 0)
    monkeypatch.setattr(FakeKafka, "fail", None)
    monkeypatch.setattr(FakeKafka, "deaf", False)
    return FakeKafka


def test_settings_are_those_of_the_design(fake):
    with ScoreProducer(KafkaConnection("nowhere:1"), "scores") as producer:
        given = producer._producer.settings
    assert {name: given[name] for name in PRODUCER_SETTINGS} == {
        "partitioner": "murmur2_random",
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": 1_048_576,
    }


def test_every_record_is_accounted_for(fake):
    places = []
    with ScoreProducer(KafkaConnection("nowhere:1"), "scores") as producer:
        for _ in range(1000):
            producer.send(b"u", b"{}", lambda partition, offset: places.append((partition, offset)))
        assert producer.deliveries.sent == 1000
        assert producer.deliveries.outstanding < 1000, "reports are served while sending"
    assert producer.deliveries.delivered == 1000
    assert places == [(3, 42)] * 1000


def test_a_full_queue_is_waited_for(fake, monkeypatch):
    monkeypatch.setattr(fake, "full", 3)
    with ScoreProducer(KafkaConnection("nowhere:1"), "scores") as producer:
        producer.send(b"u", b"{}")
    assert producer.deliveries.delivered == 1


def test_a_queue_that_stays_full_is_an_error(fake, monkeypatch):
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(fake, "full", 10**9)
    producer = ScoreProducer(KafkaConnection("nowhere:1"), "scores")
    with pytest.raises(SendingError, match="stayed full"):
        producer.send(b"u", b"{}")


def test_a_failed_delivery_is_an_error_with_its_reason(fake, monkeypatch):
    monkeypatch.setattr(fake, "fail", KafkaError(KafkaError._MSG_TIMED_OUT))
    producer = ScoreProducer(KafkaConnection("nowhere:1"), "scores")
    producer.send(b"u", b"{}")
    producer.send(b"u", b"{}")
    with pytest.raises(SendingError, match=r"2 records were not delivered .*timed out"):
        producer.__exit__(None, None, None)
    assert producer.deliveries.failed == 2


def test_records_without_a_report_are_an_error(fake, monkeypatch):
    monkeypatch.setattr(fake, "deaf", True)
    producer = ScoreProducer(KafkaConnection("nowhere:1"), "scores")
    producer.send(b"u", b"{}")
    with pytest.raises(SendingError, match="1 records were not delivered"):
        producer.flush(0.01)
    assert producer.deliveries.outstanding == 1


def test_an_empty_key_is_refused(fake):
    with pytest.raises(SendingError, match="key"):
        ScoreProducer(KafkaConnection("nowhere:1"), "scores").send(b"", b"{}")


def test_no_broker_is_said_in_time(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(SendingError, match=r"No Kafka broker answers at 127\.0\.0\.1:9; start it with `gamestream up`"):
        ScoreProducer(KafkaConnection("127.0.0.1:9"), "scores")
    assert time.monotonic() - started < 5
