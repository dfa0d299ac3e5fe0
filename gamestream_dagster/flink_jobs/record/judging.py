"""Whether a job is in its desired state, and the facts of a deployment, for every place that shows them."""

from __future__ import annotations

from typing import Final

from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.record.observed import Health, JobState, ObservedJob
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState, JobSpec

# Flink recovers from these itself, or they are still within their time; no operator needed.
BEARABLE: Final = frozenset({Health.HEALTHY, Health.STARTING, Health.RECOVERING})


def judge(spec: JobSpec, observed: ObservedJob) -> tuple[bool, str]:
    """Whether the job is as desired, and why. No answer is never "healthy"."""
    if observed.state is JobState.UNKNOWN:
        return False, f"Flink does not answer ({observed.detail}); nothing is known about the job."
    if spec.desired_state is DesiredState.SUSPENDED:
        return not observed.state.live, f"Desired suspended, found {observed.state.value}."
    if observed.duplicates:
        return False, f"{len(observed.duplicates)} more jobs of this name run; `gamestream jobs show {spec.name}`."
    if not observed.state.live:
        return False, f"Desired running, found {observed.state.value}; materialise the job."
    reason = f": {observed.health_reason}" if observed.health_reason else ""
    return observed.health in BEARABLE, f"{observed.state.value}, {observed.health.value}{reason}."


def deployment_facts(deployment: Deployment) -> dict[str, str | int | float | bool]:
    """The version that runs, and the state that it was restored from."""
    return {
        "flink_job_id": deployment.flink_job_id,
        "fingerprint": deployment.fingerprint,
        "generation": deployment.generation,
        "deployment_state": deployment.state.value,
        "outcome": deployment.outcome or "",
        "restored_from": deployment.restore_path or "the earliest offset",
    }
