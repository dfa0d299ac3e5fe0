"""The topics that a job reads, from Kafka: their incarnations and oldest offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.topic_identity import TopicId, TopicState
from gamestream_dagster.flink_jobs.record.inputs import Inputs
from gamestream_dagster.settings import Settings

_TIMEOUT_SECONDS = 3


def read_ids(settings: Settings, topics: Iterable[str]) -> Mapping[str, TopicId | None] | None:
    """Ids of the existing topics; None when Kafka does not answer, which proves nothing."""
    try:
        return KafkaAdmin(settings.kafka, timeout_seconds=_TIMEOUT_SECONDS).topic_ids(topics)
    except ServiceError:
        return None


def read_inputs(settings: Settings, topics: Iterable[str]) -> Inputs:
    """The topics at this moment, without those that do not exist.

    Raises:
        ServiceError: Kafka does not answer.
    """
    admin = KafkaAdmin(settings.kafka)
    found: dict[str, TopicState] = {}
    for topic in topics:
        try:
            found[topic] = admin.topic_state(topic)
        except NotFoundError:
            continue
    return found
