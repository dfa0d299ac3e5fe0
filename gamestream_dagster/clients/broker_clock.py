"""The broker's time: a record that Kafka stamps itself."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer

from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError, TransientServiceError
from gamestream_dagster.connections import KafkaConnection

_WAIT_SECONDS: Final = 10.0
_NO_TOPIC: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)


def broker_time(kafka: KafkaConnection, topic: str) -> int:
    """The time of the broker, milliseconds: what it stamped on a record that was written now.

    Every record that the broker appends later has this time or a later one. Brokers of one cluster differ by what their
    clocks differ.

    Args:
        kafka: the cluster.
        topic: one whose records get the broker's time.

    Raises:
        TransientServiceError: Kafka does not answer.
        NotFoundError: the topic is missing.
        TerminalServiceError: the topic keeps the producer's time.
    """
    found: list[tuple[int, int]] = []
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            found.append(message.timestamp())

    options: dict[str, Any] = {"client.id": "gamestream-clock", "acks": "all", "message.timeout.ms": 8000}
    producer = Producer(kafka.options(options))
    try:
        producer.produce(topic, value=b"", on_delivery=delivered)
        producer.flush(_WAIT_SECONDS)
    except KafkaException as error:
        failed.append(error.args[0])
    if failed and failed[0].code() in _NO_TOPIC:
        raise NotFoundError("Kafka", f"there is no topic {topic!r}", "create it with `gamestream apply`")
    if failed or not found:
        said = failed[0].str() if failed else f"no answer within {_WAIT_SECONDS:g} s"
        raise TransientServiceError(
            "Kafka",
            f"the broker's time could not be read ({said})",
            "start it with `gamestream up`, or check with `gamestream status`",
        )
    kind, millis = found[0]
    if kind != TIMESTAMP_LOG_APPEND_TIME:
        raise TerminalServiceError(
            "Kafka",
            f"the topic {topic!r} keeps the time of its producers, so it does not give the broker's",
            "set its message.timestamp.type to LogAppendTime",
        )
    return millis
