"""Plans that bring a job back: from a savepoint of the sick one, or from the newest state of one that does not run.

Pure, like the planner that asks. Redeploys that heal have a budget.
"""

from __future__ import annotations

from gamestream_dagster.flink_jobs.changes import incompatible, start_over
from gamestream_dagster.flink_jobs.deployment import Deployment, Outcome, Trigger
from gamestream_dagster.flink_jobs.plan import (
    Cancel,
    Choice,
    Compatibility,
    Decision,
    Plan,
    Preflight,
    Question,
    StartFrom,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.restoring import doubt, fallback, nothing_to_lose

# Redeploys to heal a job within the window; one more is parked.
HEAL_BUDGET = 3
HEAL_WINDOW_MINUTES = 30


def heal(question: Question) -> Plan:
    """Redeploy a live job that is sick."""
    observed, spec = question.observed, question.spec
    if question.recent_heals >= HEAL_BUDGET and question.choice is Choice.NONE:
        return over_budget(question)
    job_id = observed.flink_job_id or ""
    reason = f"{observed.health}: {observed.health_reason}"
    if not spec.upgrade_mode.stateful:
        restart = (Cancel(job_id, recorded=True), Submit(StartFrom.EARLIEST, Trigger.HEAL))
        return question.answer(Decision.HEAL, f"{reason}; start it again", Preflight(), *restart)
    if nothing_to_lose(question):
        return start_over(question, Decision.HEAL, reason, Trigger.HEAL)
    return question.answer(
        Decision.HEAL,
        f"{reason}; stop with a savepoint if it can be had, go on from its state",
        Preflight(),
        Stop(job_id, Outcome.UPGRADING, fallback(question)),
        Submit(StartFrom.STOPPED, Trigger.HEAL),
    )


def over_budget(question: Question) -> Plan:
    """Park a job that too many redeploys did not mend."""
    observed = question.observed
    why = observed.health_reason or observed.detail or observed.state
    return question.park(
        f"it was redeployed {question.recent_heals} times in {HEAL_WINDOW_MINUTES} minutes and is still not well "
        f"({why}); find the cause first",
        f"resume {question.spec.name}",
        f"suspend {question.spec.name}",
    )


def restore(question: Question, record: Deployment, trigger: Trigger, why: str) -> Plan:
    """Run a job again that does not run, from its newest state if nothing speaks against it."""
    spec, observed = question.spec, question.observed
    if not spec.upgrade_mode.stateful:
        steps = (Preflight(), Submit(StartFrom.EARLIEST, trigger))
        return question.answer(Decision.RESTORE, f"{why}; it keeps no state: start from the earliest offset", *steps)
    changed = record.fingerprint != question.fingerprint
    if changed and question.compatibility not in (Compatibility.SAME, Compatibility.COMPATIBLE):
        return incompatible(question)
    against = doubt(question)
    if against:
        return question.park(f"{why}, but {against}", f"apply {spec.name} --replay")
    if observed.restore:
        submit = Submit(StartFrom.PATH, trigger, observed.restore.path)
        return question.answer(
            Decision.RESTORE, f"{why}; go on from its newest {observed.restore.kind}", Preflight(), submit
        )
    if not record.ever_checkpointed and not record.restore_path:
        # It never completed a checkpoint and was started from nothing: there is no state to lose.
        submit = Submit(StartFrom.EARLIEST, trigger)
        return question.answer(
            Decision.DEPLOY,
            f"{why}; it never completed a checkpoint: start from the earliest offset",
            Preflight(),
            submit,
        )
    return question.park(
        f"{why}, and none of its savepoints or checkpoints can be found; starting from nothing is a person's decision",
        f"apply {spec.name} --replay",
    )


def parked(question: Question, record: Deployment) -> Plan:
    """Leave a parked job to the person who decides."""
    name = question.spec.name
    return question.park(f"parked: {record.reason or 'no reason recorded'}", f"resume {name}", f"apply {name} --replay")
