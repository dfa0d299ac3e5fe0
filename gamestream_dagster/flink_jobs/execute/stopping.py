"""The steps that end a running job, with a savepoint wherever possible."""

from __future__ import annotations

import time

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.errors import TerminalFlinkJobError
from gamestream_dagster.flink_jobs.execute.work import POLL_SECONDS, Work
from gamestream_dagster.flink_jobs.plan.model import Cancel, Stop
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.incidents import Moment

ENDING_SECONDS = 10.0
"""Limit for a job to end after its savepoint is complete."""


def stop(work: Work, step: Stop) -> None:
    """Stop with a savepoint, or as the step allows without one; records its path."""
    begun = work.recorded.state is DeploymentState.STOPPING
    work.save(state=DeploymentState.STOPPING, outcome=step.outcome.value)
    work.say(f"{work.target.spec.name}: stop job {step.flink_job_id} with a savepoint")
    limit = work.target.spec.limits.stop_seconds
    try:
        path = work.flink.stop_with_savepoint(step.flink_job_id, work.target.savepoints_dir, limit)
    except TerminalServiceError as error:
        # a dead executor may have stopped it: Flink refuses a second stop while it still says RUNNING
        path = _stopped_already(work, step.flink_job_id, ENDING_SECONDS if begun else 0.0)
        path = path or _stop_without_savepoint(work, step, error)
    _wait_ended(work, step.flink_job_id, limit)
    work.stopped_at = path
    work.note(Moment.STOPPED, f"its state is in {path or 'nothing: it is given up'}")
    work.save(
        state=DeploymentState.SUSPENDED,
        savepoint_path=path,
        ended_at=work.store.now(),
        spec={**work.recorded.spec, "positions": work.positions()},
    )


def _stop_without_savepoint(work: Work, step: Stop, error: TerminalServiceError) -> str | None:
    """Cancel an unhealthy job that cannot make a savepoint, if its state is known; leave a healthy one alone."""
    job_id, or_else = step.flink_job_id, step.or_else
    if or_else is None and not step.dispensable:
        work.save(state=DeploymentState.RUNNING, reason=error.reason)
        raise TerminalFlinkJobError(
            f"{work.target.spec.name} was not stopped, it goes on running: {error.reason}; "
            f"mend what keeps it from a savepoint ({work.flink.job_page(job_id)}), then apply again"
        ) from error
    instead = f"go on from its newest {or_else.kind}" if or_else else "cancel it, its state is given up"
    work.say(f"{work.target.spec.name}: no savepoint ({error.reason}); {instead}")
    newest = work.flink.checkpoints(job_id).newest
    try:
        work.flink.cancel(job_id)
    except TerminalServiceError:
        path = _stopped_already(work, job_id, 0.0)
        if path is None:
            raise
        return path
    return newest.path if newest and newest.path else (or_else.path if or_else else None)


def _stopped_already(work: Work, job_id: str, limit: float) -> str | None:
    """The savepoint with which the job stopped; None when it did not within `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        if work.flink.job(job_id).state is FlinkState.FINISHED:
            latest = work.flink.checkpoints(job_id).latest_savepoint
            return latest.path if latest else None
        if time.monotonic() >= deadline:
            return None
        time.sleep(POLL_SECONDS)


def cancel(work: Work, step: Cancel) -> None:
    """Cancel without a savepoint, and wait for the end."""
    work.say(f"{work.target.spec.name}: cancel job {step.flink_job_id}")
    if work.holds(step.flink_job_id):
        work.flink.cancel(step.flink_job_id)
    _wait_ended(work, step.flink_job_id, work.target.spec.limits.stop_seconds)
    if step.recorded:
        work.save(state=DeploymentState.SUSPENDED, outcome=Outcome.UPGRADING.value, ended_at=work.store.now())


def _wait_ended(work: Work, job_id: str, limit: float) -> None:
    work.wait_for(job_id, lambda detail: detail.state.ended, limit, "end")
