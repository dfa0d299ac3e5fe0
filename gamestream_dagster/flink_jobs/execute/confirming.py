"""The second half of the redeploy contract: it runs from exactly that state, with a new checkpoint, and steadily."""

from __future__ import annotations

import time

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_types import CheckpointSummary
from gamestream_dagster.flink_jobs.execute.work import POLL_SECONDS, Work
from gamestream_dagster.flink_jobs.observe.observer import same_path
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.incidents import Moment

# A restart resets the steady time; the watch is limited to this many times the steady time.
_STEADY_TRIES = 3


def confirm(work: Work) -> None:
    """Wait until the job came up as required.

    Raises:
        RedeployContractError: it did not; it is parked.
    """
    record, limits = work.recorded, work.target.spec.limits
    job_id = record.flink_job_id
    work.wait_for(job_id, lambda detail: detail.all_tasks_running, limits.start_seconds, "have all its tasks running")
    work.note(Moment.RUNNING, f"all its tasks run, restored from {record.restore_path or 'nothing'}")
    work.say(f"{record.job}: runs; wait for its first checkpoint")
    _trigger_checkpoint(work, job_id)
    checkpoints = _wait_checkpoint(work, job_id, limits.checkpoint_seconds)
    if not _restored_right(record, checkpoints):
        work.break_off(
            f"it should go on from {record.restore_path or 'nothing'}, "
            f"Flink restored {checkpoints.restored_path or 'nothing'}"
        )
    newest = checkpoints.newest
    work.note(Moment.CHECKPOINT, f"checkpoint {newest.checkpoint_id} is complete" if newest else "one is complete")
    outcome = Outcome.RESTORED if record.restore_path else Outcome.DEPLOYED
    work.save(
        state=DeploymentState.RUNNING,
        running_at=work.store.now(),
        outcome=outcome.value,
        reason=None,
        ended_at=None,
    )
    work.submitted = True
    work.say(f"{record.job}: runs as generation {record.generation}, {work.flink.job_page(job_id)}")


def _trigger_checkpoint(work: Work, job_id: str) -> None:
    """Trigger the first checkpoint now. If Flink refuses, its own interval brings the next one."""
    try:
        work.flink.trigger_checkpoint(job_id)
    except ServiceError as error:
        work.say(f"{work.recorded.job}: no checkpoint on request ({error.reason}); wait for the next interval")


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
            work.out_of_time(job_id, f"no checkpoint was complete within {limit:.0f} s")
        time.sleep(POLL_SECONDS)


def _restored_right(record: Deployment, checkpoints: CheckpointSummary) -> bool:
    restored = checkpoints.restored_path
    if restored and f"/{record.flink_job_id}/" in restored:
        return True  # it failed and Flink restored a newer checkpoint of its own
    if record.restore_path is None:
        return restored is None
    return same_path(restored, record.restore_path)


def watch_steady(work: Work) -> None:
    """Watch a started job until it has run for its steady time without a restart.

    The record already says RUNNING: whoever stops watching leaves nothing undone, and the health sensor takes over.

    Raises:
        RedeployContractError: it ended, or was not steady within three times that time; it is parked.
    """
    record, steady = work.recorded, work.target.spec.limits.steady_seconds
    if not steady:
        return
    work.say(f"{record.job}: watch it for {steady:.0f} s")
    begun = since = time.monotonic()
    while (now := time.monotonic()) - since < steady:
        detail = work.flink.job(record.flink_job_id)
        if detail.state.ended:
            work.break_off(f"it ended as {detail.state} {now - begun:.0f} s after it came up")
        if not detail.all_tasks_running:
            since = now
        if now - begun > steady * _STEADY_TRIES:
            work.break_off(f"it never ran for {steady:.0f} s without a restart")
        time.sleep(min(steady, 4 * POLL_SECONDS))
