"""What the newest enriched events know."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.enrichment.shares import Shares, counted
from gamestream_dagster.events.tail import RecordReader, last_records
from gamestream_dagster.settings import Settings

ENRICHED_TOPIC: Final = "game-events-enriched"
HEALTH_TYPE: Final = "server_health"


def newest_shares(settings: Settings, most: int) -> Shares:
    """Shares of the newest enriched events that stayed unknown; of none where there is no such topic yet.

    Raises:
        ServiceError: Kafka does not answer.
    """
    return counted(event for _, event in newest_enriched(settings, most))


def newest_enriched(settings: Settings, most: int) -> list[tuple[int, dict[str, Any]]]:
    """The newest `most` enriched events of each partition with Kafka's time, milliseconds; none without the topic.

    Raises:
        ServiceError: Kafka does not answer.
    """
    admin = KafkaAdmin(settings.kafka)
    try:
        ends = admin.end_offsets(ENRICHED_TOPIC, read_committed=True)
        begin = admin.beginning_offsets(ENRICHED_TOPIC)
    except NotFoundError:
        return []
    records = last_records(settings.kafka, ENRICHED_TOPIC, begin, ends, most)
    with Registry(settings.registry) as registry:
        reader = RecordReader(registry)
        read = ((record.timestamp, reader.read(record.value)) for record in records)
        return [(at, event) for at, event in read if isinstance(event, dict)]


def latencies(events: Iterable[tuple[int, Mapping[str, Any]]], since: int) -> dict[str, list[float]]:
    """Latencies that game servers reported, milliseconds, by region; of events that Kafka took after `since`."""
    found: dict[str, list[float]] = {}
    for at, event in events:
        if at < since or event.get("event_type") != HEALTH_TYPE:
            continue
        try:
            latency = float(json.loads(event.get("properties") or "{}")["latency_ms"])
        except (ValueError, KeyError, TypeError):
            continue  # intake checks the field; an event that passes it by is no reading
        if math.isfinite(latency):
            found.setdefault(str(event.get("region") or "unknown"), []).append(latency)
    return found


def p95(values: Iterable[float]) -> float:
    """The smallest value with at least 95 % of the values at or below it."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]
