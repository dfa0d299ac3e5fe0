"""The redeploy contract's second half: the job runs, from exactly that state, with a new checkpoint complete."""

from __future__ import annotations

import time

from gamestream_dagster.clients.flink_types import CheckpointSummary, FlinkState
from gamestream_dagster.flink_jobs.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.flink_jobs.observer import same_path
from gamestream_dagster.flink_jobs.work import POLL_SECONDS, Work


def confirm(work: Work) -> None:
    """Wait until the job came up as promised.

    Raises:
        RedeployContractError: it did not; it is parked.
    """
    record, limits = work.recorded, work.target.spec.limits
    job_id = record.flink_job_id
    work.wait_for(job_id, lambda detail: detail.all_tasks_running, limits.start_seconds, "have all its tasks running")
    work.say(f"{record.job}: runs; wait for its first checkpoint")
    checkpoints = _wait_checkpoint(work, job_id, limits.checkpoint_seconds)
    if not _restored_right(record, checkpoints):
        work.break_off(
            f"it should go on from {record.restore_path or 'nothing'}, "
            f"Flink restored {checkpoints.restored_path or 'nothing'}"
        )
    _hold(work, job_id, limits.steady_seconds)
    outcome = Outcome.RESTORED if record.restore_path else Outcome.DEPLOYED
    work.save(
        state=DeploymentState.RUNNING,
        running_at=work.store.now(),
        outcome=outcome.value,
        reason=None,
        ended_at=None,
    )
    work.say(f"{record.job}: runs as generation {record.generation}, {work.flink.job_page(job_id)}")


def _wait_checkpoint(work: Work, job_id: str, limit: float) -> CheckpointSummary:
    deadline = time.monotonic() + limit
    while True:
        checkpoints = work.flink.checkpoints(job_id)
        if checkpoints.completed_count > 0:
            return checkpoints
        detail = work.flink.job(job_id)
        if detail.state.ended:
            work.break_off(f"it ended as {detail.state} before its first checkpoint")
        if time.monotonic() > deadline:
            work.break_off(f"no checkpoint was complete within {limit:.0f} s")
        time.sleep(POLL_SECONDS)


def _restored_right(record: Deployment, checkpoints: CheckpointSummary) -> bool:
    restored = checkpoints.restored_path
    if restored and f"/{record.flink_job_id}/" in restored:
        return True  # it failed and Flink brought it back from a checkpoint of its own, which is newer
    if record.restore_path is None:
        return restored is None
    return same_path(restored, record.restore_path)


def _hold(work: Work, job_id: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        detail = work.flink.job(job_id)
        if detail.state is not FlinkState.RUNNING:
            work.break_off(f"it became {detail.state} within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
