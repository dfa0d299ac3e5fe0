"""One observation of a job: observe it, record what was found, and plan a repair if it is unhealthy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gamestream_dagster.flink_jobs.control.incident_recording import note_look, note_parked
from gamestream_dagster.flink_jobs.control.workbench import Workbench
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, Plan
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import NOTHING_NOTED, Noted
from gamestream_dagster.flink_jobs.record.judging import judge
from gamestream_dagster.flink_jobs.record.observed import Figures, JobState, ObservedJob

# An executor confirms a submission within this time: start, first checkpoint, and a steady minute.
UNFINISHED_SECONDS = 600.0


@dataclass(frozen=True)
class Look:
    """What was found. `plan` is None if the job is healthy, was never deployed, or Flink did not answer."""

    observed: ObservedJob
    record: Deployment | None = None
    noted: Noted = NOTHING_NOTED
    plan: Plan | None = None


def look_and_plan(bench: Workbench, previous: Figures | None = None) -> Look:
    """Observe the job and plan only if it is unhealthy: a healthy job costs a few REST calls.

    Records incident and alert; a parked plan raises the alert. Never changes the job.

    Raises:
        ServiceError, FlinkJobError: Postgres or the gateway did not answer, or the folder is invalid.
    """
    observed, record = bench.look(previous)
    if observed.state is JobState.UNKNOWN:
        return Look(observed, record)
    noted = note_look(bench, observed)
    well, _ = judge(bench.target.spec, observed)
    if record is None or (well and not left_unfinished(record, bench.store.at_work, bench.store.now())):
        return Look(observed, record, noted)
    made = plan(bench.question(Choice.HEAL, previous, (observed, record)))
    if made.decision is Decision.PARK:
        note_parked(bench, made)
    return Look(observed, record, noted, made)


def left_unfinished(last: Deployment, at_work: Callable[[str], bool], now: datetime) -> bool:
    """Whether the executor that submitted or stopped the job must have died before the job ran or ended.

    Args:
        last: the newest deployment.
        at_work: whether an executor is working on a job.
        now: on the clock of the deployments.
    """
    if last.state is DeploymentState.STOPPING:
        return not at_work(last.job)
    if last.state is not DeploymentState.SUBMITTING or last.submitted_at is None:
        return False
    return (now - last.submitted_at).total_seconds() > UNFINISHED_SECONDS
