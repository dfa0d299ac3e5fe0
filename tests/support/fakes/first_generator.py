"""What the first seed's own generator does: its schema, its serializer, librdkafka's defaults."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from gamestream_dagster.settings import Settings


@dataclass
class UserScore:
    """The record of the first generator, which knows no event_id."""

    user_id: str
    team_id: str
    team_name: str
    score: int
    event_time_millis: int
    readable_time: str
    event_type: str


SEED_SCHEMA = json.dumps(
    {
        "namespace": "io.factorhouse.avro",
        "type": "record",
        "name": "UserScore",
        "fields": [
            {"name": "user_id", "type": "string"},
            {"name": "team_id", "type": "string"},
            {"name": "team_name", "type": "string"},
            {"name": "score", "type": "int"},
            {"name": "event_time_millis", "type": "long", "logicalType": "timestamp-millis"},
            {"name": "readable_time", "type": "string"},
            {"name": "event_type", "type": "string"},
        ],
    }
)


def feed_as_the_first_generator(stack: Settings, topic: str, scores: list[UserScore]) -> None:
    """Registers its own schema, and produces with librdkafka's defaults, as that generator does."""
    serializer = AvroSerializer(
        SchemaRegistryClient({"url": stack.registry.url, "timeout": 15}), SEED_SCHEMA, lambda one, _: asdict(one)
    )
    producer, failed = Producer(stack.kafka.options()), []
    for score in scores:
        value = serializer(score, SerializationContext(topic, MessageField.VALUE))
        producer.produce(
            topic, key=score.user_id.encode(), value=value, on_delivery=lambda e, _: e and failed.append(e)
        )
    assert producer.flush(30) == 0
    assert failed == []


def seed_scores(count: int) -> list[UserScore]:
    return [UserScore(f"USR-{n}", "42", "Ruby-Koala", n, 1_700_000_000_000 + n, "r", "normal") for n in range(count)]
