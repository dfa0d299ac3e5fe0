"""The topic of totals: committed records, and the offset up to which a partition was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.serving_api.ranks.ranked import Ranked


class AsksId(Protocol):
    """The part of `KafkaAdmin` that is asked."""

    def topic_id(self, topic: str) -> TopicId | None:
        """The topic's incarnation; None where the broker has no ids."""
        ...


def incarnation(kafka: AsksId, topic: str) -> TopicId:
    """The id of a topic as it is now: a set of ranks is of one incarnation.

    Raises:
        NotFoundError: there is no such topic.
        TerminalServiceError: the broker gives topics no ids.
    """
    found = kafka.topic_id(topic)
    if found is None:
        raise TerminalServiceError(
            "Kafka", "the broker gives topics no ids, by which ranks are kept", "use a broker of version 2.8 or later"
        )
    return found


_BIGINT: Final = range(-(2**63), 2**63)


@dataclass
class Read:
    """What one look at the topic gave."""

    totals: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    """The newest total by player; None: the player is gone."""
    position: dict[int, int] = field(default_factory=dict[int, int])
    """Next offset of the partitions that were read on."""
    strange: int = 0
    """Records that are none of the job's: left out."""


class TotalsTopic:
    """Reads the committed records of a topic of totals, from given positions on.

    Args:
        kafka: where it is.
        ranked: what the topic holds.
        position: next offset by partition.
    """

    def __init__(self, kafka: KafkaConnection, ranked: Ranked, position: Mapping[int, int]) -> None:
        self._ranked = ranked
        self._consumer = Consumer(
            kafka.options(
                {
                    "client.id": "gamestream-ranks",
                    "group.id": "gamestream-ranks",  # commits nothing: the position is in Valkey
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 200,
                    "queued.max.messages.kbytes": 16_384,
                }
            )
        )
        topic = ranked.output.topic
        self._consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in position.items()])

    def read(self, most: int, seconds: float) -> Read:
        """Read on, at most `most` records and for about `seconds`.

        Raises:
            TransientServiceError: Kafka does not answer, or holds the position no longer.
        """
        found = Read()
        try:
            messages = self._consumer.consume(most, timeout=seconds)
        except KafkaException as error:
            raise self._failed(error.args[0]) from error
        for message in messages:
            self._take(message, found)
        return found

    def _take(self, message: Message, found: Read) -> None:
        partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise self._failed(error)
            found.position[partition] = max(offset, found.position.get(partition, 0))
            return
        found.position[partition] = offset + 1
        total = self._total(message)
        if total is None:
            found.strange += 1
        else:
            found.totals[total[0]] = total[1]

    def _total(self, message: Message) -> tuple[str, int | None] | None:
        """Player and total; None for a record that the job cannot have written."""
        try:
            key, value = orjson.loads(message.key() or b""), message.value()
            row = orjson.loads(value) if value is not None else None
        except orjson.JSONDecodeError:
            return None
        user = key.get(self._ranked.key) if isinstance(key, dict) else None
        if not isinstance(user, str):
            return None
        if row is None:
            return user, None
        total = row.get(self._ranked.value) if isinstance(row, dict) else None
        if type(total) is not int or total not in _BIGINT:
            return None
        return user, total

    def _failed(self, error: KafkaError) -> TransientServiceError:
        return TransientServiceError(
            "Kafka", f"{self._ranked.output.topic} cannot be read ({error.str()})", "see `gamestream status`"
        )

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()
