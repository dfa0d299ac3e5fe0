"""A Flink SQL job in Dagster: its metadata and its health check."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from gamestream_dagster.components.keys import job_key
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.record.incidents import Incident
from gamestream_dagster.flink_jobs.record.judging import deployment_facts, judge
from gamestream_dagster.flink_jobs.record.observed import Figures, JobState, ObservedJob
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.flink_jobs import FlinkJobs

HEALTHY = "healthy"


def job_metadata(deployment: Deployment, observed: ObservedJob, incident: Incident | None = None) -> dict[str, Any]:
    """Metadata of a job's materialisation: version, restored state, health, last incident."""
    metadata: dict[str, Any] = {
        **deployment_facts(deployment),
        **observation_metadata(observed),
        **incident_metadata(incident),
    }
    if observed.url:
        metadata["flink_ui"] = dg.MetadataValue.url(observed.url)
    if deployment.reason:
        metadata["reason"] = deployment.reason
    return metadata


def observation_metadata(observed: ObservedJob) -> dict[str, Any]:
    """Flink's state with the figures behind the verdict; unknown figures are left out."""
    metadata: dict[str, Any] = {"state": observed.state.value, "health": observed.health.value}
    if observed.health_reason or observed.detail:
        metadata["health_reason"] = observed.health_reason or observed.detail
    if observed.figures is not None:
        metadata.update(_figures(observed.figures))
    return metadata


def incident_metadata(incident: Incident | None) -> dict[str, Any]:
    """The newest incident with its timeline, for the UI; empty when there is none."""
    if incident is None:
        return {}
    ended = incident.outcome
    state = "open" if ended is None else ended.value
    metadata: dict[str, Any] = {
        "incident": f"{incident.incident_id}: {incident.kind.value}, {state}, {incident.attempt} submissions",
        "incident_timeline": markdown_table(
            ("at", "seconds", "what", "why"),
            [(entry.at, entry.seconds, entry.moment.value, entry.text) for entry in incident.timeline],
        ),
    }
    times = {"seconds_to_seen": incident.seen_seconds, "seconds_to_back": incident.back_seconds}
    return {**metadata, **{name: value for name, value in times.items() if value is not None}}


def _figures(figures: Figures) -> dict[str, Any]:
    found = {
        "checkpoint": figures.checkpoint_id,
        "checkpoint_path": figures.checkpoint_path,
        "checkpoint_age_seconds": None if figures.checkpoint_age_ms is None else figures.checkpoint_age_ms / 1000,
        "checkpoints_failed": figures.checkpoints_failed,
        "restarts": figures.restarts,
        "lag_records": figures.lag_records,
        "records_read": figures.records_read,
        "watermark": None if figures.watermark_ms is None else _time(figures.watermark_ms),
        "watermark_age_seconds": None if figures.watermark_age_ms is None else figures.watermark_age_ms / 1000,
    }
    return {name: value for name, value in found.items() if value is not None}


def _time(milliseconds: int) -> dg.MetadataValue:
    return dg.MetadataValue.timestamp(datetime.fromtimestamp(milliseconds / 1000, tz=UTC))


def health_check(spec: JobSpec) -> dg.AssetChecksDefinition:
    """The check `healthy` of one job: observes Flink, changes nothing."""

    @dg.asset_check(
        asset=job_key(spec.name),
        name=HEALTHY,
        description="The job is in its desired state; restarts, checkpoints and lag are within bounds.",
    )
    def healthy(flink_jobs: dg.ResourceParam[FlinkJobs]) -> dg.AssetCheckResult:
        with explained(f"check the job {spec.name}", job=spec.name):
            return health_result(spec, flink_jobs.observe(spec.name))

    return healthy


def health_result(spec: JobSpec, observed: ObservedJob) -> dg.AssetCheckResult:
    """The check's result: ERROR when the job needs an operator, WARN when Flink did not answer."""
    passed, reason = judge(spec, observed)
    unknown = observed.state is JobState.UNKNOWN
    return dg.AssetCheckResult(
        check_name=HEALTHY,
        asset_key=job_key(spec.name),
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if unknown else dg.AssetCheckSeverity.ERROR,
        description=reason,
        metadata=observation_metadata(observed),
    )
