"""A job as it is to be deployed on this stack: its SQL with the values filled in, its options, its fingerprint."""

from __future__ import annotations

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.render import bindings_for, render
from gamestream_dagster.flink_jobs.spec import JobSpec
from gamestream_dagster.flink_jobs.work import Target
from gamestream_dagster.settings import Settings


def target_for(settings: Settings, spec: JobSpec) -> Target:
    """A job as it is to be deployed on this stack."""
    bindings = bindings_for(settings, spec.name)
    options = {
        "execution.runtime-mode": "streaming",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_seconds} s",
        # a cancelled job leaves its last state behind
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "table.dml-sync": "false",
        **spec.flink,
    }
    savepoints = None if settings.is_external("flink") else (settings.savepoints_dir / spec.name).as_uri()
    return Target(
        spec=spec,
        fingerprint=spec.fingerprint(options, bindings.shown, settings.score_format),
        rendered=render(spec, bindings, settings.score_format),
        options=options,
        savepoints_dir=savepoints,
    )


def events_lost(settings: Settings, spec: JobSpec) -> int | None:
    """Offsets that the job's group has not read and that Kafka has deleted; None when Kafka cannot be asked.

    The group's commits are those of the newest checkpoint. A partition without a commit says nothing.
    """
    admin = KafkaAdmin(settings.kafka, timeout_seconds=3)
    lost = 0
    try:
        for topic in spec.reads:
            committed = admin.committed(f"gamestream-{spec.name}", topic)
            first = admin.beginning_offsets(topic) if committed else {}
            lost += sum(max(0, first.get(partition, 0) - offset) for partition, offset in committed.items())
    except ServiceError:
        return None  # not known: Flink itself will say what it cannot read
    return lost
