"""How far a job has read its topics, and whether Kafka still holds the next records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.settings import Settings

Positions = Mapping[str, Mapping[int, int]]
"""Next offset to read, by topic and partition."""

_TIMEOUT_SECONDS = 3


def read_positions(settings: Settings, spec: JobSpec) -> Positions | None:
    """The commits of the job's consumer group: those of its newest checkpoint or savepoint.

    Without partitions that have no commit. None when Kafka does not answer.
    """
    admin = KafkaAdmin(settings.kafka, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        return {topic: admin.committed(f"gamestream-{spec.name}", topic) for topic in spec.reads}
    except ServiceError:
        return None


def events_lost(settings: Settings, positions: Positions | None) -> int | None:
    """Offsets after these positions that Kafka has deleted; None when Kafka, or the positions, are unknown."""
    if positions is None:
        return None
    admin = KafkaAdmin(settings.kafka, timeout_seconds=_TIMEOUT_SECONDS)
    lost = 0
    try:
        for topic, committed in positions.items():
            first = admin.beginning_offsets(topic) if committed else {}
            lost += sum(max(0, first.get(partition, 0) - offset) for partition, offset in committed.items())
    except ServiceError:
        return None  # unknown: Flink itself will report what it cannot read
    return lost


def kept_positions(spec: Mapping[str, Any]) -> Positions | None:
    """The positions recorded when a deployment was stopped."""
    kept = spec.get("positions")
    if kept is None:
        return None
    return {topic: {int(partition): offset for partition, offset in read.items()} for topic, read in kept.items()}
