"""Rules about restorable state: whether there is one, which may be restored, and what forbids it.

Pure, like the planner.
"""

from __future__ import annotations

from gamestream_dagster.flink_jobs.plan.model import Choice, PlanInput, StartFrom, Submit
from gamestream_dagster.flink_jobs.record.deployment import Trigger
from gamestream_dagster.flink_jobs.record.observed import RestoreFacts, RestoreKind, RestorePoint


def nothing_to_lose(question: PlanInput) -> bool:
    """Whether the live job has no state: known from Flink and from the record, not for lack of a reply."""
    observed, record = question.observed, question.record
    if record is None or record.flink_job_id != observed.flink_job_id or not observed.never_checkpointed:
        return False
    return not (record.ever_checkpointed or record.restore_path or record.savepoint_path or observed.restore)


def usable_restore(question: PlanInput) -> RestorePoint | None:
    """The state that may be restored without a request.

    The state that the deployment itself started from is excluded once it has completed a checkpoint of its own.
    """
    return None if older_than_its_own(question) else question.observed.restore


def older_than_its_own(question: PlanInput) -> bool:
    """Whether only the initial state is left, though the deployment had a newer one."""
    restore, record = question.observed.restore, question.record
    inherited = restore is not None and restore.kind is RestoreKind.INHERITED
    return inherited and record is not None and record.ever_checkpointed


def doubt(question: PlanInput) -> str:
    """Why the observed state must not be restored, with the alternatives; empty when it may."""
    restore = question.observed.restore
    if restore is None:
        return ""
    if older_than_its_own(question):
        return (
            f"the checkpoints that it completed itself cannot be read, and {restore.path}, from which it was started, "
            "is older; put the checkpoints back, or read all events again"
        )
    return doubt_about(restore, question.observed.restore_facts, question)


def doubt_about(restore: RestorePoint, facts: RestoreFacts | None, question: PlanInput) -> str:
    """Why this state must not be restored, whoever's it is."""
    again = "or read all events again"
    if facts is None:
        return ""
    if facts.exists is False:
        return f"its {restore.kind} {restore.path} is gone or incomplete (no _metadata); put it back, {again}"
    limit = question.spec.limits.restore_age_hours
    if facts.age_hours is not None and facts.age_hours > limit:
        return (
            f"its {restore.kind} {restore.path} is {facts.age_hours:.0f} h old, the limit is {limit:.0f} h; "
            f"raise limits.restore_age_hours in job.yaml and apply, {again}"
        )
    if facts.events_lost:
        return (
            f"{facts.events_lost} events that it has not read yet are no longer in its topics: resuming would skip "
            "them; restore them to the topics, or read the remaining ones again"
        )
    return ""


def transaction_doubt(question: PlanInput) -> str:
    """Whether Kafka may have aborted the transaction that the checkpoint depends on; empty when it has not.

    Flink commits a checkpoint's transactions just after it, and again after a restore. A job that died in between
    loses them if the restore comes after the transaction timeout: the connector logs it and continues. A savepoint that
    stopped a job was committed before the job ended, so its age is harmless.
    """
    restore, facts, timeout = question.observed.restore, question.observed.restore_facts, question.transaction_timeout
    if restore is None or facts is None or facts.age_hours is None or timeout is None or not restore.is_checkpoint:
        return ""
    seconds = facts.age_hours * 3600
    if seconds <= timeout or question.choice is Choice.RESUME:
        return ""
    return (
        f"its newest checkpoint is {seconds / 60:.0f} min old and Kafka gives a transaction up after "
        f"{timeout / 60:.0f} min: what was written with that checkpoint may be missing in its topics. Go on all the "
        "same and have it looked at (gamestream reconcile --mode transactional), or read all events again"
    )


def fallback(question: PlanInput) -> RestorePoint | None:
    """The state to restore when an unhealthy job cannot make a savepoint."""
    return usable_restore(question) if question.spec.upgrade_mode.stateful else None


def older_than_fallback(question: PlanInput) -> tuple[str, ...]:
    """Checkpoints to try, newest first, if Flink cannot read the one that an unhealthy job was stopped with.

    The job may complete a newer checkpoint before it stops, so the fallback itself comes first.
    """
    last = fallback(question) if question.observed.health.sick else None
    return (last.path, *question.observed.older_restores) if last and last.is_checkpoint else ()


def resubmitted(question: PlanInput, trigger: Trigger, deployed: int | None) -> Submit:
    """Submit the version that ran, from the state that the job was stopped with."""
    older = older_than_fallback(question)
    return Submit(StartFrom.STOPPED, trigger, deployed=deployed, hold=question.hold, older=older)
