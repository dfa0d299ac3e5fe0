"""The rate of dead letters of one stack."""

import time
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.dead_letters.rate import Rate


class DeadLetters:
    """Counts dead letters in Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rate(self) -> "Rate":
        """The share of the last hour's records that were refused.

        Raises:
            ServiceError: Kafka does not answer, or a topic is missing.
        """
        from gamestream_dagster.clients.kafka_admin import KafkaAdmin
        from gamestream_dagster.dead_letters.rate import recent_rate

        kafka, limit = self._settings.kafka, self._settings.ingest_dead_letter_share
        return recent_rate(kafka, KafkaAdmin(kafka), limit, int(time.time() * 1000))


class DeadLettersResource(dg.ConfigurableResource[DeadLetters]):
    """Watches the dead letters of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> DeadLetters:
        """A plain watcher."""
        return DeadLetters(self.stack)
