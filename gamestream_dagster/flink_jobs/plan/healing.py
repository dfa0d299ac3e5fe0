"""Plans that bring a job back: from a savepoint of an unhealthy job, or from the newest state of a stopped one.

Pure, like the planner. Healing redeploys have a budget.
"""

from __future__ import annotations

from gamestream_dagster.flink_jobs.plan.changes import as_deployed, fits, incompatible, start_over, why_not
from gamestream_dagster.flink_jobs.plan.model import (
    Cancel,
    Decision,
    Plan,
    PlanInput,
    Preflight,
    StartFrom,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.plan.restoring import (
    doubt,
    fallback,
    nothing_to_lose,
    resubmitted,
    transaction_doubt,
)
from gamestream_dagster.flink_jobs.record.deployment import Deployment, Outcome, Trigger

# Healing redeploys within the window; the next one is parked.
HEAL_BUDGET = 3
HEAL_WINDOW_MINUTES = 30


def heal(question: PlanInput) -> Plan:
    """Redeploy an unhealthy live job with the SQL that it runs."""
    observed, spec = question.observed, question.spec
    if question.recent_heals >= HEAL_BUDGET and not question.choice.asked:
        return over_budget(question)
    job_id = observed.flink_job_id or ""
    reason = f"{observed.health}: {observed.health_reason}"
    deployed = as_deployed(question)
    if question.changed and deployed is None:
        return incompatible(question)
    if not spec.upgrade_mode.stateful:
        again = Submit(StartFrom.EARLIEST, Trigger.HEAL, deployed=deployed, hold=question.hold)
        steps = (Preflight(deployed), Cancel(job_id, recorded=True), again)
        return question.answer(Decision.HEAL, f"{reason}; start it again", *steps)
    if nothing_to_lose(question):
        return start_over(question, Decision.HEAL, reason, Trigger.HEAL, deployed)
    return question.answer(
        Decision.HEAL,
        f"{reason}; stop with a savepoint if possible, resume from its state{_pending(question)}",
        Preflight(deployed),
        Stop(job_id, Outcome.UPGRADING, fallback(question)),
        resubmitted(question, Trigger.HEAL, deployed),
    )


def _pending(question: PlanInput) -> str:
    """The pending decision when the old version is brought back; empty when the folder has no other."""
    if not question.changed or not question.record:
        return ""
    old = f" with the SQL that generation {question.record.generation} ran"
    if question.held:
        return old
    return f"{old}; the folder's change waits for a decision ({why_not(question)})"


def over_budget(question: PlanInput) -> Plan:
    """Park a job that repeated redeploys did not heal."""
    observed = question.observed
    why = observed.health_reason or observed.detail or observed.state
    return question.park(
        f"it was redeployed {question.recent_heals} times in {HEAL_WINDOW_MINUTES} minutes and is still unhealthy "
        f"({why}); find the cause first",
        f"resume {question.spec.name}",
        f"suspend {question.spec.name}",
    )


def restore(question: PlanInput, record: Deployment, trigger: Trigger, why: str) -> Plan:
    """Run a stopped job again from its newest state, unless something forbids it."""
    spec, observed = question.spec, question.observed
    stateful = spec.upgrade_mode.stateful
    # its initial state, or one that it completed: either could be lost
    stateless_yet = not observed.restore and not record.ever_checkpointed and not record.restore_path
    faulty = bool(question.findings)
    old = question.changed and (question.held or faulty or (stateful and not stateless_yet and not fits(question)))
    deployed = as_deployed(question) if old else None
    if old and deployed is None:
        return incompatible(question)
    hold = question.hold if deployed else None
    pending = _pending(question) if deployed else ""
    if not stateful or (stateless_yet and not record.savepoint_path):
        return _from_nothing(question, trigger, why, deployed)
    against = doubt(question)
    if against:
        return question.park(f"{why}, but {against}", f"apply {spec.name} --replay")
    against = transaction_doubt(question)
    if against:
        return question.park(f"{why}, but {against}", f"resume {spec.name}", f"apply {spec.name} --replay")
    if observed.restore:
        submit = Submit(StartFrom.PATH, trigger, observed.restore.path, deployed, hold, observed.older_restores)
        reason = f"{why}; resume from its newest {observed.restore.kind}{pending}"
        return question.answer(Decision.RESTORE, reason, Preflight(deployed), submit)
    return question.park(
        f"{why}, and none of its savepoints or checkpoints can be found; only an operator may start it without state",
        f"apply {spec.name} --replay",
    )


def _from_nothing(question: PlanInput, trigger: Trigger, why: str, deployed: int | None) -> Plan:
    """There is no state to lose: it keeps none, or it started without state and never completed a checkpoint."""
    steps = (
        Preflight(deployed),
        Submit(StartFrom.EARLIEST, trigger, deployed=deployed, hold=question.hold if deployed else None),
    )
    if question.spec.upgrade_mode.stateful:
        reason = f"{why}; it never completed a checkpoint: start from the earliest offset"
        return question.answer(Decision.DEPLOY, reason, *steps)
    return question.answer(Decision.RESTORE, f"{why}; it keeps no state: start from the earliest offset", *steps)


def parked(question: PlanInput, record: Deployment) -> Plan:
    """Leave a parked job to the operator."""
    name = question.spec.name
    commands = (f"resume {name}", f"apply {name} --replay", f"rollback {name}")
    return question.park(f"parked: {record.reason or 'no reason recorded'}", *commands)
