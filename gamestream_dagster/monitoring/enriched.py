"""What the newest enriched events know."""

from __future__ import annotations

from typing import Final

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.enrichment.shares import Shares, counted
from gamestream_dagster.events.tail import RecordReader, last_records
from gamestream_dagster.settings import Settings

ENRICHED_TOPIC: Final = "game-events-enriched"


def newest_shares(settings: Settings, most: int) -> Shares:
    """Shares of the newest `most` enriched events that stayed unknown; of none where there is no such topic yet.

    Raises:
        ServiceError: Kafka does not answer.
    """
    admin = KafkaAdmin(settings.kafka)
    try:
        ends = admin.end_offsets(ENRICHED_TOPIC, read_committed=True)
        begin = admin.beginning_offsets(ENRICHED_TOPIC)
    except NotFoundError:
        return counted(())
    records = last_records(settings.kafka, ENRICHED_TOPIC, begin, ends, most)
    with Registry(settings.registry) as registry:
        reader = RecordReader(registry)
        return counted(event for record in records if isinstance(event := reader.read(record.value), dict))
