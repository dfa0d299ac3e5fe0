"""What is kept of a look: the alert of a parked job, the incident of one that is not well. Acts on no job."""

from __future__ import annotations

from datetime import timedelta

from gamestream_dagster.flink_jobs.control.workbench import Workbench
from gamestream_dagster.flink_jobs.errors import ExecutorBusyError
from gamestream_dagster.flink_jobs.plan.model import Plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, pending
from gamestream_dagster.flink_jobs.record.incidents import (
    NOTHING_NOTED,
    Incident,
    IncidentKind,
    Moment,
    Noted,
    Trouble,
    recovered,
    since_failure,
    trouble,
)
from gamestream_dagster.flink_jobs.record.observed import Health, ObservedJob


def note_parked(bench: Workbench, made: Plan) -> None:
    """Let an alert stand for a parked plan; the job's incident, if one is open, ends with it."""
    details = {"choices": list(made.choices), "fingerprint": made.fingerprint}
    bench.raise_alert(f"{made.job}: {made.reason}", details)
    bench.incidents.add(made.job, Moment.PARKED, made.reason)


def note_look(bench: Workbench, observed: ObservedJob) -> Noted:
    """Keep what a look found: open or end the job's incident, end its alert when it is well, whoever mended it."""
    record = bench.store.last(observed.job)
    if record is None:
        return NOTHING_NOTED
    _note(bench, observed, record)
    newest = next(iter(bench.incidents.history(observed.job, 1)), None)
    return Noted(pending(record, bench.target.fingerprint), newest)


def _note(bench: Workbench, observed: ObservedJob, record: Deployment) -> None:
    if record.state is DeploymentState.RUNNING and observed.health is Health.HEALTHY:
        hold = record.hold
        decided = hold is not None and hold.against == bench.target.fingerprint
        if record.fingerprint == bench.target.fingerprint or decided:
            bench.clear_alert()
    if record.state is DeploymentState.RUNNING and observed.health.untimely:
        summary = f"{observed.job}: {observed.health.value}: {observed.health_reason}"
        bench.raise_alert(summary, {"health": observed.health.value})
    if recovered(observed, record):
        _note_recovery(bench, observed, record)
        return
    try:
        with bench.store.lock(observed.job):  # while an executor works, what is seen is its doing
            note_trouble(bench, observed, record)
    except ExecutorBusyError:
        return


def note_trouble(bench: Workbench, observed: ObservedJob, record: Deployment | None) -> None:
    """Open an incident for a job that should run and does not, or is not well; not again for one that is parked."""
    found = trouble(observed, record, bench.target.spec.desired_state)
    if found is None or record is None:
        return
    last = next(iter(bench.incidents.history(record.job, 1)), None)
    if last and last.outcome is Moment.PARKED and not _since(record, last):
        return
    bench.incidents.open(record.job, found, record.running_at)


def _since(record: Deployment, last: Incident) -> bool:
    """Whether anything was done about the job since that incident ended."""
    done = [moment for moment in (record.submitted_at, record.running_at) if moment]
    return last.closed_at is not None and any(moment > last.closed_at for moment in done)


def _note_recovery(bench: Workbench, observed: ObservedJob, record: Deployment) -> None:
    """End the open incident; one that began and ended between two looks is written down whole."""
    last = next(iter(bench.incidents.history(record.job, 1)), None)
    age = since_failure(observed)
    if (last is None or last.closed_at) and age is not None:
        began = bench.store.now() - timedelta(seconds=age)
        known = [one for one in (record.running_at, last.closed_at if last else None) if one]
        if all(began > one for one in known):
            summary = observed.figures.last_failure if observed.figures else None
            bench.incidents.open(record.job, Trouble(IncidentKind.RESTARTING, summary or "it failed", age))
    figures = observed.figures
    if figures is not None and figures.checkpoint_age_ms is not None:
        ago = figures.checkpoint_age_ms / 1000
        text = f"checkpoint {figures.checkpoint_id} is complete since {ago:.0f} s"
        bench.incidents.add(record.job, Moment.CHECKPOINT, text)
    bench.incidents.add(record.job, Moment.HEALTHY, "it is well again")
