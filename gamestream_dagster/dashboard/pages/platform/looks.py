"""What Kafka, Flink, Postgres and the supervisor say at this moment; each is asked on its own and at once.

A source that fails, or takes too long, is a `Problem` in its own panel and costs the others nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gamestream_dagster.alerts.overview import Overview, overview
from gamestream_dagster.alerts.rules import Book
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_types import CheckpointSize, CheckpointSummary, ClusterOverview, JobOverview
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.dashboard.lag import read_positions
from gamestream_dagster.dashboard.reading import Background, Problem, look_at, look_at_postgres
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name
from gamestream_dagster.platform.service import ServiceStatus
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import (
    alert_states,
    alerts,
    deployments,
    incidents,
    job_ledger,
)

SECONDS: Final = 2.0
"""Limit of a request."""
PATIENCE_SECONDS: Final = 3.5
"""Limit of a source: the page is drawn without it then."""
_MOST_JOBS: Final = 40


@dataclass(frozen=True)
class TopicLook:
    """One topic. `octets` is None where its files are not on this machine."""

    name: str
    ranges: Mapping[int, tuple[int, int] | None]
    octets: int | None

    @property
    def messages(self) -> int:
        """Records at most: compaction and transactions leave holes in the offsets."""
        return sum(pair[1] - pair[0] for pair in self.ranges.values() if pair)

    @property
    def silent(self) -> list[int]:
        """Partitions without offsets."""
        return sorted(partition for partition, pair in self.ranges.items() if pair is None)


@dataclass(frozen=True)
class JobLook:
    """One job that Flink knows. Checkpoints are None for a job that has ended."""

    job: JobOverview
    name: str
    checkpoints: CheckpointSummary | None
    size: CheckpointSize | None


@dataclass(frozen=True)
class FlinkLook:
    """The cluster, and its newest job of each name."""

    cluster: ClusterOverview
    jobs: Mapping[str, JobLook]


@dataclass(frozen=True)
class Records:
    """What Postgres has recorded. `missing` are tables that are not there."""

    missing: frozenset[str]
    deployments: Mapping[str, Mapping[str, Any]]
    """The newest of each job."""
    incidents: Mapping[str, Mapping[str, Any]]
    """The newest open one of each job."""
    positions: Sequence[Mapping[str, Any]]
    """The last offset that each job has counted, by topic and partition."""
    alerts: Overview | None


@dataclass(frozen=True)
class Platform:
    """One look at everything."""

    read_at: datetime
    services: Sequence[ServiceStatus] | Problem
    topics: Sequence[TopicLook] | Problem
    flink: FlinkLook | Problem
    records: Records | Problem


class Watch:
    """Asks every source at once.

    Args:
        settings: of the stack.
        engine: of its Postgres, with a short limit for statements.
        book: the alerts.
        admin: of its Kafka.
    """

    def __init__(self, settings: Settings, engine: Engine, book: Book, admin: KafkaAdmin) -> None:
        self._services = Background("The supervisor", lambda: Stack(settings).status())
        self._topics = Background("Kafka", lambda: topics(admin, _kafka_files(settings)))
        self._flink = Background("Flink", lambda: flink(settings.flink_rest))
        self._records = Background("Postgres", lambda: look_at_postgres(engine, partial(records, book=book)))

    def look(self) -> Platform:
        """One look at everything; a source that takes too long is a problem."""
        until = time.monotonic() + PATIENCE_SECONDS

        def left() -> float:
            return max(0.0, until - time.monotonic())

        services, of_topics = self._services.ask(), self._topics.ask()
        of_flink, of_records = self._flink.ask(), self._records.ask()
        return Platform(
            services=services(left()),
            topics=of_topics(left()),
            flink=of_flink(left()),
            records=of_records(left()),
            read_at=datetime.now(UTC),
        )


def topics(admin: KafkaAdmin, files: Path | None) -> list[TopicLook]:
    """Every topic by name.

    Args:
        admin: of the cluster.
        files: the broker's data folder, where this machine has it.
    """
    sizes = octets_by_topic(files) if files else {}
    return [
        TopicLook(name, ranges, sizes.get(name, 0) if files else None)
        for name, ranges in sorted(admin.ranges().items())
    ]


def _kafka_files(settings: Settings) -> Path | None:
    folder = settings.home / "kafka" / "data"
    return None if settings.is_external("kafka") or not os.access(folder, os.R_OK | os.X_OK) else folder


def octets_by_topic(folder: Path) -> dict[str, int]:
    """Bytes on disk by topic: log segments and their indexes as they are allocated."""
    found: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            topic, dash, partition = entry.name.rpartition("-")
            if dash and partition.isdigit() and entry.is_dir(follow_symlinks=False):
                found[topic] = found.get(topic, 0) + _octets(entry.path)
    return found


def _octets(folder: str) -> int:
    total = 0
    with os.scandir(folder) as files:
        for file in files:
            try:
                total += file.stat(follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:  # a segment that Kafka has just deleted
                continue
    return total


def flink(url: str) -> FlinkLook:
    """The cluster, its newest job of each name, and the newest checkpoint of each that runs."""
    with FlinkRest(url, timeout_seconds=SECONDS) as rest:
        cluster = rest.overview()
        newest: dict[str, JobOverview] = {}
        for one in sorted(rest.jobs(), key=lambda one: (not one.state.ended, one.started_ms)):
            parsed = parse_flink_job_name(one.name)
            newest[parsed[0] if parsed else one.name] = one
        chosen = list(newest.items())[-_MOST_JOBS:]
        return FlinkLook(cluster, {name: _job(rest, name, one) for name, one in chosen})


def _job(rest: FlinkRest, name: str, one: JobOverview) -> JobLook:
    if one.state.ended:
        return JobLook(one, name, None, None)
    checkpoints = rest.checkpoints(one.job_id)
    latest = checkpoints.latest_completed
    size = look_at(lambda: rest.checkpoint_size(one.job_id, latest.checkpoint_id)) if latest else None
    return JobLook(one, name, checkpoints, size if isinstance(size, CheckpointSize) else None)


def records(link: Connection, present: frozenset[str], book: Book) -> Records:
    """What the tables hold about jobs and alerts, in one transaction."""
    needed = {table.name for table in (deployments, incidents, job_ledger, alerts, alert_states)}
    seen = {alerts.name, alert_states.name, "alert_silences", "alert_messages"} <= present
    return Records(
        missing=frozenset(needed - present),
        deployments=_deployments(link) if deployments.name in present else {},
        incidents=_incidents(link) if incidents.name in present else {},
        positions=read_positions(link) if job_ledger.name in present else (),
        alerts=overview(link, book) if seen else None,
    )


def _deployments(link: Connection) -> dict[str, Mapping[str, Any]]:
    one = deployments.c
    columns = (one.job, one.generation, one.fingerprint, one.state, one.outcome, one.reason, one.running_at)
    last = sa.select(*columns).distinct(one.job).order_by(one.job, one.generation.desc()).limit(_MOST_JOBS)
    return {row["job"]: dict(row) for row in link.execute(last).mappings()}


def _incidents(link: Connection) -> dict[str, Mapping[str, Any]]:
    one = incidents.c
    columns = (one.job, one.kind, one.opened_at, one.summary)
    newest = sa.select(*columns).where(one.closed_at.is_(None)).distinct(one.job)
    query = newest.order_by(one.job, one.opened_at.desc()).limit(_MOST_JOBS)
    return {row["job"]: dict(row) for row in link.execute(query).mappings()}
