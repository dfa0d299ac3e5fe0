"""The steps that end a running job: with a savepoint wherever one can be had."""

from __future__ import annotations

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.flink_jobs.deployment import DeploymentState, Outcome
from gamestream_dagster.flink_jobs.errors import TerminalFlinkJobError
from gamestream_dagster.flink_jobs.incidents import Moment
from gamestream_dagster.flink_jobs.plan import Cancel, Stop
from gamestream_dagster.flink_jobs.work import Work


def stop(work: Work, step: Stop) -> None:
    """Stop with a savepoint, or as the step allows without one; where it is goes into the record."""
    work.save(state=DeploymentState.STOPPING, outcome=step.outcome.value)
    work.say(f"{work.target.spec.name}: stop job {step.flink_job_id} with a savepoint")
    limit = work.target.spec.limits.stop_seconds
    try:
        path = work.flink.stop_with_savepoint(step.flink_job_id, work.target.savepoints_dir, limit)
    except TerminalServiceError as error:
        path = _stop_without_savepoint(work, step, error)
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
    """A sick job that can make no savepoint is cancelled, if its state is known; a healthy one is left alone."""
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
    work.flink.cancel(job_id)
    return newest.path if newest and newest.path else (or_else.path if or_else else None)


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
