"""Plans for what a person or the folder wants otherwise: suspend, change, replay. Pure, like the planner that asks."""

from __future__ import annotations

from gamestream_dagster.flink_jobs.deployment import DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.plan import (
    Cancel,
    Compatibility,
    Decision,
    Plan,
    Preflight,
    Question,
    RecordEnd,
    StartFrom,
    Step,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.restoring import fallback, nothing_to_lose, usable_restore
from gamestream_dagster.flink_jobs.spec import UpgradeMode


def suspend(question: Question, outcome: Outcome, why: str) -> Plan:
    """Stop the live job with its state, or without where it has none."""
    job_id = question.observed.flink_job_id or ""
    replaceable = question.observed.health.sick and nothing_to_lose(question)
    if question.spec.upgrade_mode is UpgradeMode.SAVEPOINT and not replaceable:
        or_else = fallback(question) if question.observed.health.sick else None
        return question.answer(Decision.SUSPEND, f"{why}: stop with a savepoint", Stop(job_id, outcome, or_else))
    restore = usable_restore(question)
    steps: tuple[Step, ...] = (
        Cancel(job_id, recorded=True),
        RecordEnd(DeploymentState.SUSPENDED, outcome, restore.path if restore else None),
    )
    # a savepoint is never less than the last state
    if question.spec.upgrade_mode.stateful and not replaceable:
        steps = (Stop(job_id, outcome, restore),)
    return question.answer(Decision.SUSPEND, f"{why}: stop", *steps)


def change(question: Question) -> Plan:
    """Take the folder's version: the running one has another fingerprint."""
    spec, observed = question.spec, question.observed
    job_id = observed.flink_job_id or ""
    if not spec.upgrade_mode.stateful:
        return question.answer(
            Decision.UPGRADE,
            "changed, and it keeps no state: stop it, start from the earliest offset",
            Preflight(),
            Cancel(job_id, recorded=True),
            Submit(StartFrom.EARLIEST, Trigger.CHANGE),
        )
    if nothing_to_lose(question):
        return start_over(question, Decision.UPGRADE, "changed", Trigger.CHANGE)
    if question.compatibility not in (Compatibility.SAME, Compatibility.COMPATIBLE):
        return incompatible(question)
    return question.answer(
        Decision.UPGRADE,
        "changed, and its state fits: stop with a savepoint, go on from it",
        Preflight(),
        Stop(job_id, Outcome.UPGRADING, fallback(question) if observed.health.sick else None),
        Submit(StartFrom.STOPPED, Trigger.CHANGE),
    )


def start_over(question: Question, decision: Decision, why: str, trigger: Trigger) -> Plan:
    """Replace a live version that has no state yet."""
    return question.answer(
        decision,
        f"{why}; the running version never completed a checkpoint, so no state is lost: "
        "cancel it, start from the earliest offset",
        Preflight(),
        Cancel(question.observed.flink_job_id or "", recorded=True),
        Submit(StartFrom.EARLIEST, trigger),
    )


def incompatible(question: Question) -> Plan:
    """Park a change whose state does not fit."""
    name = question.spec.name
    why = (
        "its compiled plan differs from the running one, so the state does not fit"
        if question.compatibility is Compatibility.INCOMPATIBLE
        else "there is no compiled plan of the running version to compare with"
    )
    if not question.observed.state.live:
        return _incompatible_and_dead(question, why)
    return question.park(
        f"the folder changed and {why}; the running version is left alone. "
        f"Choose: read all events again into a fresh state (--replay), or undo the change",
        f"apply {name} --replay",
    )


def _incompatible_and_dead(question: Question, why: str) -> Plan:
    """The record keeps options and hashes of the old version but not its SQL, so only its folder can bring it back."""
    name, record = question.spec.name, question.record
    version = f" (code version {record.spec.get('code_version', 'not recorded')})" if record else ""
    generation = f"generation {record.generation}{version}" if record else "the old version"
    return question.park(
        f"it does not run, the folder changed meanwhile and {why}. To heal it, put flink_sql/{name} back as "
        f"{generation} had it and apply; to go on with the change, read all events again into a fresh state",
        f"apply {name}",
        f"apply {name} --replay",
    )


def replay(question: Question, live: bool) -> Plan:
    """Give the state up because a person says so, and read all events again."""
    submit = Submit(StartFrom.EARLIEST, Trigger.HAND)
    reason = "a person asks for a replay: fresh state, all events again from the earliest offset"
    if not live:
        return question.answer(Decision.DEPLOY, reason, Preflight(), submit)
    job_id = question.observed.flink_job_id or ""
    recorded = question.record is not None and question.record.flink_job_id == job_id
    if not recorded or not question.spec.upgrade_mode.stateful:
        return question.answer(Decision.DEPLOY, reason, Preflight(), Cancel(job_id, recorded), submit)
    # The old state is kept in a savepoint, if one can be had: a replay can be regretted.
    stop = Stop(job_id, Outcome.UPGRADING, fallback(question), dispensable=True)
    kept = "the old state is kept as a savepoint if the job can make one"
    return question.answer(Decision.DEPLOY, f"{reason}; {kept}", Preflight(), stop, submit)
