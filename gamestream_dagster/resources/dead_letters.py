"""The rate of dead letters of one stack, and its alert."""

import time
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.alerts.store import Alert, PostgresAlerts
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.dead_letters.rate import Rate


class DeadLetters:
    """Counts dead letters in Kafka and keeps the alert in Postgres."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rate(self) -> "Rate":
        """The share of the last hour's records that were refused.

        Raises:
            ServiceError: Kafka does not answer, or a topic is missing.
        """
        from gamestream_dagster.clients.kafka_admin import KafkaAdmin
        from gamestream_dagster.dead_letters.rate import rate_of_the_last_hour

        kafka, limit = self._settings.kafka, self._settings.ingest_dead_letter_share
        return rate_of_the_last_hour(kafka, KafkaAdmin(kafka), limit, int(time.time() * 1000))

    def raise_alert(self, alert: Alert) -> bool:
        """Raise or update the alert; True when it began now."""
        with open_engine(self._settings) as engine:
            return PostgresAlerts(engine).raise_alert(alert)

    def clear_alert(self, alert_id: str) -> bool:
        """Clear the alert; True when it was active."""
        with open_engine(self._settings) as engine:
            return PostgresAlerts(engine).clear_alert(alert_id)


class DeadLettersResource(dg.ConfigurableResource[DeadLetters]):
    """Watches the dead letters of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> DeadLetters:
        """A plain watcher."""
        return DeadLetters(self.stack)
