"""The headers of one record."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from gamestream_dagster.connections import KafkaConnection

_SECONDS = 5.0


def headers_at(kafka: KafkaConnection, topic: str, partition: int, offset: int) -> dict[str, bytes | None] | None:
    """The headers of the record at a position, the last one of each name.

    Returns:
        None where Kafka does not hand out the record within five seconds: it is gone, or Kafka is away.
    """
    options = {"group.id": "gamestream-headers", "enable.auto.commit": False, "auto.offset.reset": "error"}
    consumer = Consumer(kafka.options(options))
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(_SECONDS)
        if message is None or message.error() is not None or message.offset() != offset:
            return None
        return dict(message.headers() or [])  # pyright: ignore[reportArgumentType]
    except KafkaException:
        return None
    finally:
        consumer.close()
