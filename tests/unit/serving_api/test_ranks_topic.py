"""Records of the topic of totals: totals, players that are gone, and what the job cannot have written."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.serving_api.ranks import totals_topic
from gamestream_dagster.serving_api.ranks.ranked import ranked_boards
from gamestream_dagster.serving_api.ranks.totals_topic import TotalsTopic, incarnation
from gamestream_dagster.settings import Ranks

[RANKED] = ranked_boards(load_boards(ranks=Ranks.ALL).values())


class Message:
    def __init__(self, offset: int, key: bytes | None = None, value: bytes | None = None, error: Any = None) -> None:
        self._given = offset, key, value, error

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._given[0]

    def key(self) -> bytes | None:
        return self._given[1]

    def value(self) -> bytes | None:
        return self._given[2]

    def error(self) -> Any:
        return self._given[3]


class FakeConsumer:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.messages: list[Message] = []
        self.assigned: list[Any] = []

    def assign(self, partitions: list[Any]) -> None:
        self.assigned = partitions

    def consume(self, most: int, timeout: float) -> list[Message]:
        taken, self.messages = self.messages[:most], self.messages[most:]
        return taken

    def close(self) -> None: ...


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> TotalsTopic:
    monkeypatch.setattr(totals_topic, "Consumer", FakeConsumer)
    return TotalsTopic(KafkaConnection("nowhere:1"), RANKED, {0: 7})


def test_it_reads_committed_records_from_the_position_on(topic: TotalsTopic) -> None:
    consumer: Any = topic._consumer
    assert [(one.topic, one.partition, one.offset) for one in consumer.assigned] == [("player-totals", 0, 7)]
    assert consumer.options["isolation.level"] == "read_committed"
    assert consumer.options["enable.auto.commit"] is False


def test_the_newest_total_of_a_player_wins_and_a_tombstone_ends_one(topic: TotalsTopic) -> None:
    consumer: Any = topic._consumer
    eof = KafkaError(KafkaError._PARTITION_EOF)
    consumer.messages = [
        Message(7, b'{"user_id":"a"}', b'{"user_id":"a","total_score":1}'),
        Message(8, b'{"user_id": "a"}', b'{"total_score": 2, "user_id": "a"}'),
        Message(9, b'{"user_id":"b"}', b'{"user_id":"b","total_score":9223372036854775807}'),
        Message(10, b'{"user_id":"b"}', None),
        Message(12, error=eof),
    ]
    found = topic.read(100, 1)
    assert (found.totals, found.position, found.strange) == ({"a": 2, "b": None}, {0: 12}, 0)
    assert topic.read(100, 1).position == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b'{"total_score":1}'), (b"a", b'{"total_score":1}'), (b'"a"', b'{"total_score":1}'), (b"{}", b"{}"),
        (b'{"user_id":5}', b'{"total_score":1}'), (b'{"user_id":"a"}', b"x"), (b'{"user_id":"a"}', b"[]"),
        (b'{"user_id":"a"}', b'{"total_score":"1"}'), (b'{"user_id":"a"}', b'{"total_score":1.0}'),
        (b'{"user_id":"a"}', b'{"total_score":true}'), (b'{"user_id":"a"}', b'{"total_score":null}'),
        (b'{"user_id":"a"}', b'{"total_score":9223372036854775808}'), (b'{"user_id":"a"}', b'{}'), (b"", None),
    ],
)  # fmt: skip
def test_a_record_of_another_hand_changes_nothing_and_is_counted(topic: TotalsTopic, key: Any, value: Any) -> None:
    consumer: Any = topic._consumer
    consumer.messages = [Message(7, key, value)]
    found = topic.read(100, 1)
    assert (found.totals, found.position, found.strange) == ({}, {0: 8}, 1)


def test_a_position_that_kafka_no_longer_holds_is_an_error(topic: TotalsTopic) -> None:
    consumer: Any = topic._consumer
    consumer.messages = [Message(7, error=KafkaError(KafkaError._AUTO_OFFSET_RESET))]
    with pytest.raises(TransientServiceError, match="player-totals cannot be read"):
        topic.read(100, 1)


def test_a_broker_without_ids_keeps_no_ranks() -> None:
    class Kafka:
        ids: ClassVar = {"player-totals": TopicId("one"), "older": None}

        def topic_id(self, topic: str) -> TopicId | None:
            return self.ids[topic]

    assert incarnation(Kafka(), "player-totals") == "one"
    with pytest.raises(TerminalServiceError, match="no ids"):
        incarnation(Kafka(), "older")
