"""The enrichment tables of one stack, and how many events they leave unknown; Kafka is imported when it is asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from gamestream_dagster.enrichment.geo_table import UNKNOWN
from gamestream_dagster.enrichment.tables import Table, publish
from gamestream_dagster.settings import Settings

ENRICHED_TOPIC: Final = "game-events-enriched"
SAMPLE: Final = 2_000
"""Newest events that are counted."""


@dataclass(frozen=True)
class Share:
    """Of the newest events: how many there were, and how many of them stayed unknown."""

    events: int
    unknown: int

    @property
    def unknown_share(self) -> float:
        """From 0 to 1; 0 without events."""
        return self.unknown / self.events if self.events else 0.0


@dataclass(frozen=True)
class Shares:
    """What the newest enriched events know."""

    country: Share
    """Of events about a player."""
    device: Share
    """Of events with a device model."""


def counted(events: Iterable[dict[str, Any]]) -> Shares:
    """Count enriched events that stayed unknown."""
    about, nowhere, modelled, nothing = 0, 0, 0, 0
    for event in events:
        if event.get("user_id"):
            about += 1
            nowhere += event.get("country") in {None, UNKNOWN}
        if event.get("device_model"):
            modelled += 1
            nothing += event.get("device_category") in {None, UNKNOWN}
    return Shares(Share(about, nowhere), Share(modelled, nothing))


class Enrichment:
    """The tables of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def publish(self, name: str) -> Table:
        """Put a packaged table into the stack's folder, unless a newer one is there.

        Raises:
            TableError: it cannot be used, or not be written.
        """
        return publish(self._settings.enrichment_dir, name)

    def shares(self) -> Shares:
        """What the newest enriched events know; nothing where there is no such topic yet.

        Raises:
            ServiceError: Kafka does not answer.
        """
        from gamestream_dagster.clients.errors import NotFoundError
        from gamestream_dagster.clients.kafka_admin import KafkaAdmin
        from gamestream_dagster.clients.registry import Registry
        from gamestream_dagster.events.tail import RecordReader, last_records

        kafka = self._settings.kafka
        admin = KafkaAdmin(kafka)
        try:
            ends = admin.end_offsets(ENRICHED_TOPIC, read_committed=True)
            begin = admin.beginning_offsets(ENRICHED_TOPIC)
        except NotFoundError:
            return counted(())
        records = last_records(kafka, ENRICHED_TOPIC, begin, ends, SAMPLE)
        with Registry(self._settings.registry) as registry:
            reader = RecordReader(registry)
            return counted(event for record in records if isinstance(event := reader.read(record.value), dict))


class EnrichmentResource(dg.ConfigurableResource[Enrichment]):
    """Opens the enrichment tables of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Enrichment:
        """The tables of one stack."""
        return Enrichment(self.stack)
