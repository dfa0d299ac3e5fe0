"""Series about the Flink jobs that are deployed and should run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, select

from gamestream_dagster.alerts.samples import Labels, Sample, labels_of
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.observe.observer import FlinkView, observe
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.record.observed import Figures, JobState, ObservedJob
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, deployments, job_ledger

FRESH_RECORDS: Final = 10_000
"""A job that runs and has more records than this to read is not fresh."""
_STOPPED_ON_PURPOSE: Final = frozenset(
    {DeploymentState.STOPPING, DeploymentState.SUSPENDED, DeploymentState.CANCELED, DeploymentState.FINISHED}
)
_STATES: Final = tuple(state for state in JobState if state is not JobState.UNKNOWN)


def flink_jobs(settings: Settings, now: float) -> list[Sample]:
    """State, lag, checkpoint and failures of each job whose newest deployment was not stopped on purpose.

    Raises:
        ServiceError: Postgres or Flink does not answer.
    """
    found: list[Sample] = []
    with open_engine(settings) as engine, FlinkRest(settings.flink_rest) as flink:
        store = PostgresDeploymentStore(engine)
        with engine.connect() as connection:
            names = sorted(connection.scalars(select(deployments.c.job).distinct()))
            ledgers = _ledgers(connection)
        for name in names:
            record = store.last(name)
            if record is None or record.state in _STOPPED_ON_PURPOSE:
                continue
            observed = observe(flink, name, record)
            if observed.state is JobState.UNKNOWN:
                raise TransientServiceError("Flink", observed.detail or "no answer", "see `gamestream status`")
            found += samples_of(observed, flink, now, ledgers.get(name, {}))
    return found


def samples_of(observed: ObservedJob, flink: FlinkView, now: float, ledger: Mapping[str, Any]) -> list[Sample]:
    """The samples of one job. NaN where Flink does not know a value: the job exists, and has no reading.

    Args:
        observed: the job.
        flink: gives the address of its page.
        now: epoch seconds.
        ledger: the last offset that the job counted, by `topic p<partition>`.
    """
    job, figures = observed.job, observed.figures
    page = flink.job_page(figures.flink_job_id) if figures and figures.flink_job_id else ""
    evidence = {name: value for name, value in {"page": page, "read_up_to": dict(ledger)}.items() if value}
    running = observed.state is JobState.RUNNING
    found = [
        Sample(
            "flink_job_state",
            labels_of({"flink_job": job, "state": state.value}),
            now,
            float(observed.state is state),
            evidence,
        )
        for state in _STATES
    ]
    lag = figures.lag_records if figures else None
    labels = labels_of({"flink_job": job})
    found.append(Sample("kafka_consumer_lag", labels, now, math.nan if lag is None else float(lag), evidence))
    is_known = not running or lag is not None
    fresh = float(running and (lag or 0) <= FRESH_RECORDS) if is_known else math.nan
    found.append(Sample("flink_job_is_fresh", labels, now, fresh, evidence))
    found += _of_figures(labels, figures, now, evidence, running)
    return found


def _of_figures(
    labels: Labels, figures: Figures | None, now: float, evidence: Mapping[str, Any], running: bool
) -> list[Sample]:
    """Failures and the age of the checkpoint; NaN where Flink does not know."""
    failures, age, seen = math.nan, math.nan, evidence
    if figures is not None:
        evidence = seen = {**evidence, "last_failure": figures.last_failure or "none"}
        failures = float(figures.recent_failures)
        began = [at for at in (figures.checkpoint_at_ms, figures.running_since_ms) if at is not None]
        if running and began:
            age = max(0.0, (figures.now_ms - max(began)) / 1000)
            seen = {**evidence, "checkpoint": figures.checkpoint_id, "failed": figures.checkpoints_failed}
    return [
        Sample("flink_job_failures", labels, now, failures, evidence),
        Sample("flink_job_checkpoint_age_seconds", labels, now, age, seen),
    ]


def _ledgers(connection: Connection) -> dict[str, dict[str, Any]]:
    own = job_ledger.c
    found: dict[str, dict[str, Any]] = {}
    query = select(own.job, own.topic, own.partition_id, own.last_offset).where(own.minute_millis == WHOLE_PARTITION)
    for job, topic, partition, offset in connection.execute(query):
        found.setdefault(job, {})[f"{topic} p{partition}"] = offset
    return found
