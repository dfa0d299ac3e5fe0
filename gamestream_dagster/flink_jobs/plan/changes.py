"""Plans for requested changes, by an operator or the folder: suspend, change, replay. Pure, like the planner."""

from __future__ import annotations

from dataclasses import replace

from gamestream_dagster.flink_jobs.plan.model import (
    Cancel,
    Choice,
    Compatibility,
    Decision,
    Keep,
    Plan,
    PlanInput,
    Preflight,
    RecordEnd,
    StartFrom,
    Step,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.plan.restoring import (
    doubt_about,
    fallback,
    nothing_to_lose,
    older_than_fallback,
    resubmitted,
    usable_restore,
)
from gamestream_dagster.flink_jobs.record.deployment import (
    Deployment,
    DeploymentState,
    Hold,
    HoldKind,
    Outcome,
    Trigger,
)
from gamestream_dagster.flink_jobs.record.inputs import told
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState, UpgradeMode

_FINDINGS_TOLD = 3


def suspend(question: PlanInput, outcome: Outcome, why: str) -> Plan:
    """Stop the live job with its state, or without if it has none."""
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
    # a savepoint is never older than the last state
    if question.spec.upgrade_mode.stateful and not replaceable:
        steps = (Stop(job_id, outcome, restore),)
    return question.answer(Decision.SUSPEND, f"{why}: stop", *steps)


def stack_down(question: PlanInput) -> Plan:
    """Stop a live job with its state, to resume with the stack; a parked job stays parked."""
    if not question.observed.state.live:
        return question.answer(Decision.NOTHING, "it does not run, so the stack can go down")
    record = question.record
    if record is None or record.state is not DeploymentState.PARKED:
        return suspend(question, Outcome.STACK_DOWN, "the stack goes down")
    made = suspend(question, Outcome.CONTRACT_BROKEN, "the stack goes down, and it stays parked")
    stay = RecordEnd(DeploymentState.PARKED, Outcome.CONTRACT_BROKEN)
    return replace(made, steps=(*made.steps, stay))


def stand_still(question: PlanInput) -> Plan:
    """Stop a healthy job with a savepoint while a proof reads its boards."""
    name, record, observed = question.spec.name, question.record, question.observed
    if record is None or record.state is not DeploymentState.RUNNING or not observed.state.live or observed.health.sick:
        why = observed.health_reason or (record.reason if record else None) or observed.state
        return question.refuse(f"it cannot be stopped for a proof, because it is unhealthy: {why}", f"show {name}")
    return suspend(question, Outcome.STANDSTILL, "a proof reads its boards at one cut")


def change(question: PlanInput) -> Plan:
    """Switch to the folder's version: the running one has another fingerprint."""
    spec, observed = question.spec, question.observed
    job_id = observed.flink_job_id or ""
    if question.findings:
        return refuse_faulty(question)
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
    if not fits(question):
        return incompatible(question)
    return question.answer(
        Decision.UPGRADE,
        "changed, and its state is compatible: stop with a savepoint, resume from it"
        f"{_rescaled(question)}{_rolled_back(question)}",
        Preflight(),
        Stop(job_id, Outcome.UPGRADING, fallback(question) if observed.health.sick else None),
        Submit(StartFrom.STOPPED, Trigger.CHANGE, older=older_than_fallback(question)),
    )


def _rescaled(question: PlanInput) -> str:
    found = question.parallelism
    changes = found is not None and found.recorded is not None and found.recorded != found.wanted
    return f" with a parallelism of {found.wanted} instead of {found.recorded}" if found and changes else ""


def _rolled_back(question: PlanInput) -> str:
    """What an operator who applies after a rollback should know."""
    return " (an operator rolled this version back; applying it moves forward again)" if question.hold else ""


def fits(question: PlanInput) -> bool:
    """Whether the folder's version can resume from the state of the recorded one."""
    return not question.findings and question.compatibility in (Compatibility.SAME, Compatibility.COMPATIBLE)


def as_deployed(question: PlanInput) -> int | None:
    """The generation whose recorded SQL runs again; None where the folder's is the same, or the record has no SQL."""
    record = question.record
    return record.generation if record and question.changed and record.stored else None


def start_over(
    question: PlanInput, decision: Decision, why: str, trigger: Trigger, deployed: int | None = None
) -> Plan:
    """Replace a live version that has no state yet."""
    return question.answer(
        decision,
        f"{why}; the running version never completed a checkpoint, so no state is lost: "
        "cancel it, start from the earliest offset",
        Preflight(deployed),
        Cancel(question.observed.flink_job_id or "", recorded=True),
        Submit(StartFrom.EARLIEST, trigger, deployed=deployed, hold=question.hold if deployed else None),
    )


def refuse_faulty(question: PlanInput) -> Plan:
    """Refuse SQL with lint errors; leave the running version alone."""
    name = question.spec.name
    return question.refuse(
        f"the folder's SQL has lint errors and is not submitted: {_joined(question.findings)}. Fix them; "
        f"`gamestream lint flink_sql/{name}` lists them, docs/lint.md explains them; name intended ones in job.yaml "
        "under `lint_accepts`",
        f"plan {name}",
    )


def _joined(findings: tuple[str, ...]) -> str:
    more = len(findings) - _FINDINGS_TOLD
    return "; ".join(findings[:_FINDINGS_TOLD]) + (f"; and {more} more" if more > 0 else "")


def why_not(question: PlanInput) -> str:
    """Why the folder's version cannot resume from the state."""
    if question.findings:
        return f"the linter finds errors in its SQL ({_joined(question.findings)})"
    if question.fixed:
        return "; ".join(question.fixed)
    if question.refusal:
        return f"Flink refuses its SQL ({question.refusal})"
    if question.compatibility is Compatibility.INCOMPATIBLE:
        return "its compiled plan differs from the running one, so the state is incompatible"
    return "there is no compiled plan of the running version to compare with"


def incompatible(question: PlanInput) -> Plan:
    """Park a change whose state is incompatible."""
    name, record = question.spec.name, question.record
    if question.observed.state.live or (record and record.stored):
        return question.park(
            f"the folder changed and {why_not(question)}; the running version stays. Choose: read all events "
            "again into a fresh state (--replay), stay with the running version (--keep), or undo the change",
            f"apply {name} --replay",
            f"apply {name} --keep",
        )
    version = f" (code version {record.spec.get('code_version', 'not recorded')})" if record else ""
    generation = f"generation {record.generation}{version}" if record else "the old version"
    return question.park(
        f"it does not run, the folder changed meanwhile, {why_not(question)}, and the record of {generation} holds no "
        f"SQL. To heal it, put flink_sql/{name} back as that generation had it and apply; to go on with the change, "
        "read all events again into a fresh state",
        f"apply {name}",
        f"apply {name} --replay",
    )


def keep(question: PlanInput, record: Deployment) -> Plan:
    """Keep the recorded version, and remember this against the folder's present one."""
    name = question.spec.name
    if not question.changed:
        return question.refuse("the job is as the folder says; there is no change to refuse", f"show {name}")
    if question.spec.upgrade_mode.stateful and fits(question) and not nothing_to_lose(question):
        return question.refuse(
            "the folder's change is compatible with the state, so there is nothing to choose: apply deploys it. To "
            f"keep the running version, undo the change in flink_sql/{name}",
            f"apply {name}",
        )
    return question.answer(
        Decision.RECORD,
        f"a person stays with generation {record.generation}; the folder's version {question.fingerprint[:8]} is not "
        "taken, another one asks anew",
        Keep(Hold(HoldKind.KEEP, question.fingerprint)),
    )


def new_season(question: PlanInput) -> Plan:
    """A fresh state in which only seasons count: closed ones stay as certified, the open one is counted anew."""
    name = question.spec.name
    if question.seasonal:
        made = replay(question, question.observed.state.live)
        reason = "an operator restarts the open season; closed seasons stay as certified"
        return replace(made, reason=f"{reason}: fresh state, all events again from the earliest offset")
    return question.refuse(
        "it writes boards without seasons, which count all events there ever were: a fresh state without those would "
        "be wrong for ever. Read all events again (--replay) or stay with the running version (--keep)",
        f"apply {name} --replay",
        f"apply {name} --keep",
    )


def redeploy(question: PlanInput) -> Plan:
    """Restart the running version through a savepoint, because an operator requests it."""
    observed, name = question.observed, question.spec.name
    deployed = as_deployed(question)
    why = "an operator requested the same version again"
    if question.changed and deployed is None:
        return question.refuse(
            f"the folder changed, and the record of the running version holds no SQL to submit again; put "
            f"flink_sql/{name} back, or take the change",
            f"plan {name}",
        )
    if not question.spec.upgrade_mode.stateful:
        again = Submit(StartFrom.EARLIEST, Trigger.REDEPLOY, deployed=deployed, hold=question.hold)
        cancel = Cancel(observed.flink_job_id or "", recorded=True)
        return question.answer(Decision.REDEPLOY, f"{why}; it keeps no state", Preflight(deployed), cancel, again)
    if nothing_to_lose(question):
        return start_over(question, Decision.REDEPLOY, why, Trigger.REDEPLOY, deployed)
    return question.answer(
        Decision.REDEPLOY,
        f"{why}: stop with a savepoint, resume from it",
        Preflight(deployed),
        Stop(observed.flink_job_id or "", Outcome.UPGRADING, fallback(question) if observed.health.sick else None),
        resubmitted(question, Trigger.REDEPLOY, deployed),
    )


def on_another_topic(question: PlanInput) -> Plan | None:
    """The plan for a job whose state read another incarnation of a topic; None where that decides nothing.

    Its offsets are meaningless in Kafka's present topic, so nothing resumes from the state, whoever asks.
    """
    observed, spec = question.observed, question.spec
    if not observed.other_topics or spec.desired_state is DesiredState.SUSPENDED:
        return None
    if question.choice in (Choice.SUSPEND, Choice.STACK_DOWN, Choice.REPLAY, Choice.NEW_SEASON, Choice.ROLLBACK):
        return None
    what = told(observed.other_topics)
    if not spec.upgrade_mode.stateful or nothing_to_lose(question):
        if not observed.state.live:
            return None
        again = Submit(StartFrom.EARLIEST, Trigger.HEAL, deployed=as_deployed(question), hold=question.hold)
        steps = (Preflight(again.deployed), Cancel(observed.flink_job_id or "", recorded=True), again)
        return question.answer(
            Decision.HEAL, f"{what}; it has no state to lose: start from the earliest offset", *steps
        )
    create = any(one.now is None for one in observed.other_topics)
    first = "create it with `gamestream apply`, then " if create else ""
    return question.park(
        f"{what}. Its offsets are meaningless there, so it does not resume from its kept state; {first}read the "
        "topic from its beginning into a fresh state",
        f"apply {spec.name} --replay",
    )


def rollback(question: PlanInput, record: Deployment) -> Plan:
    """Return to the last good version with its own state; the state of the bad version is left behind."""
    name, point = question.spec.name, question.rollback
    if point is None:
        return question.refuse(
            f"there is nothing to roll back to: no version before {record.fingerprint[:8]} has both a complete "
            "checkpoint and recorded SQL",
            f"history {name}",
        )
    target = f"generation {point.generation} ({point.fingerprint[:8]})"
    stateful = question.spec.upgrade_mode.stateful
    if stateful and point.other_topics:
        return question.refuse(
            f"it cannot roll back to {target}: {told(point.other_topics)}, so that state's offsets mean nothing there; "
            "read the topic from its beginning",
            f"apply {name} --replay",
        )
    if stateful and point.restore is None:
        return question.refuse(f"no state of {target} can be found, so a rollback is impossible", f"history {name}")
    against = doubt_about(point.restore, point.facts, question) if stateful and point.restore else ""
    if against:
        return question.refuse(f"it cannot roll back to {target}: {against}", f"history {name}")
    hold = None if point.fingerprint == question.fingerprint else Hold(HoldKind.ROLLBACK, question.fingerprint)
    start, path = (StartFrom.PATH, point.restore.path) if stateful and point.restore else (StartFrom.EARLIEST, None)
    older = point.older if path else ()
    submit = Submit(start, Trigger.ROLLBACK, path, deployed=point.generation, hold=hold, older=older)
    origin = f"its {point.restore.kind} {path}" if stateful and point.restore else "the earliest offset"
    reason = f"an operator rolled back to {target}, from {origin}"
    if not question.observed.state.live:
        return question.answer(Decision.ROLLBACK, reason, Preflight(point.generation), submit)
    job_id = question.observed.flink_job_id or ""
    if not stateful or nothing_to_lose(question):
        end: Step = Cancel(job_id, recorded=True)
    else:  # keep the current state too, if possible: a rollback can be regretted
        end = Stop(job_id, Outcome.UPGRADING, fallback(question), dispensable=True)
    return question.answer(Decision.ROLLBACK, reason, Preflight(point.generation), end, submit)


def _gone(question: PlanInput) -> str:
    """A warning about events that a replay misses; empty when Kafka holds all."""
    if not question.gone:
        return ""
    return (
        f". WARNING: {question.gone} are no longer in Kafka, so the boards will be without them; where they are "
        "archived, a proof names them as missing until the archive begins there too (`gamestream archive --begin-at "
        "earliest`)"
    )


def _appended(question: PlanInput) -> str:
    """A warning about topics that keep what a replay writes again; empty for a job without stream outputs."""
    topics = ", ".join(stream.topic for stream in question.spec.streams)
    return topics and (
        f". WARNING: every event is appended to {topics} once more: a job that reads there drops the copy only within "
        "its horizon"
    )


def replay(question: PlanInput, live: bool) -> Plan:
    """Drop the state at the operator's request and read all events again."""
    submit = Submit(StartFrom.EARLIEST, Trigger.HAND)
    reason = (
        "an operator requested a replay: fresh state, all events again from the earliest offset; its boards are "
        f"emptied first{_gone(question)}{_appended(question)}"
    )
    if not live:
        return question.answer(Decision.DEPLOY, reason, Preflight(), submit)
    job_id = question.observed.flink_job_id or ""
    recorded = question.record is not None and question.record.flink_job_id == job_id
    if not recorded or not question.spec.upgrade_mode.stateful:
        return question.answer(Decision.DEPLOY, reason, Preflight(), Cancel(job_id, recorded), submit)
    # Keep the old state in a savepoint, if possible: a replay can be regretted.
    stop = Stop(job_id, Outcome.UPGRADING, fallback(question), dispensable=True)
    kept = "the old state is kept as a savepoint if the job can make one"
    return question.answer(Decision.DEPLOY, f"{reason}; {kept}", Preflight(), stop, submit)
