"""Decides: (spec, observed, last deployment) -> Plan. Pure: no I/O, no clock, no log. The dry run prints this value.

The rules, in the order in which they are asked:
1. No answer from Flink: wait. 2. The same job twice: stop the younger. 3. A step that was begun is brought to its end.
4. What a person did in Flink, or asked for with `suspend`, is respected. 5. Desired against observed.
A stateful job is never started from nothing, except the first time, when a person says `--replay`, or when it has
no state that could be lost: it was started from nothing and never completed a checkpoint.
"""

from __future__ import annotations

from gamestream_dagster.flink_jobs.deployment import Deployment, DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.observed import Health, JobState, RestoreKind, RestorePoint
from gamestream_dagster.flink_jobs.plan import (
    Adopt,
    Cancel,
    Choice,
    Compatibility,
    Confirm,
    Decision,
    Plan,
    Preflight,
    Question,
    RecordEnd,
    Resubmit,
    StartFrom,
    Step,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.restoring import doubt, nothing_to_lose, usable_restore
from gamestream_dagster.flink_jobs.spec import FINGERPRINT_LENGTH, DesiredState, UpgradeMode

# Redeploys to heal a job within the window; one more is parked.
HEAL_BUDGET = 3
HEAL_WINDOW_MINUTES = 30


def plan(question: Question) -> Plan:
    """The steps that take the job from what it is to what it should be."""
    observed, record = question.observed, question.record
    if observed.state is JobState.UNKNOWN:
        return question.answer(Decision.WAIT, f"Flink gave no answer, the job is left as it is: {observed.detail}")
    if observed.state is JobState.STOPPING:
        return question.answer(Decision.WAIT, "the job is being cancelled; ask again when it has ended")
    if observed.duplicates:
        return _stop_duplicates(question)
    if record is None:
        return _without_record(question)
    if record.flink_job_id != observed.flink_job_id and observed.state.live:
        return _foreign(question)
    match record.state:
        case DeploymentState.SUBMITTING:
            return _begun_submission(question, record)
        case DeploymentState.STOPPING:
            return _begun_stop(question, record)
        case _:
            return _live(question, record) if observed.state.live else _not_live(question, record)


def _stop_duplicates(question: Question) -> Plan:
    observed, record = question.observed, question.record
    ours = observed.flink_job_id
    kept_by = "it is the recorded one" if record and record.flink_job_id == ours else "it is the older one"
    steps = tuple(Cancel(other.flink_job_id, recorded=False) for other in observed.duplicates)
    named = ", ".join(other.flink_job_id for other in observed.duplicates)
    reason = f"the job runs more than once; {ours} stays ({kept_by}), stop {named}"
    return question.answer(Decision.TIDY, reason, *steps)


def _without_record(question: Question) -> Plan:
    observed, spec = question.observed, question.spec
    if observed.state.live and observed.flink_job_id:
        if observed.fingerprint == question.fingerprint[:FINGERPRINT_LENGTH]:
            adopt = Adopt(observed.flink_job_id)
            return question.answer(Decision.RECORD, "the job runs as described, without a record of it", adopt)
        if question.choice is Choice.REPLAY:
            return _replay(question, live=True)
        return question.park(
            f"job {observed.flink_job_id} runs under this name in another version, and nothing is recorded of it; "
            f"cancel it in Flink ({observed.url}), or start again from the events",
            f"apply {spec.name} --replay",
        )
    if question.choice is Choice.SUSPEND or spec.desired_state is DesiredState.SUSPENDED:
        return question.answer(Decision.NOTHING, "suspended, and it was never deployed")
    return question.answer(
        Decision.DEPLOY,
        "it was never deployed: start from the earliest offset",
        Preflight(),
        Submit(StartFrom.EARLIEST, Trigger.FIRST),
    )


def _foreign(question: Question) -> Plan:
    observed, record = question.observed, question.record
    known = record.flink_job_id if record else "none"
    return question.park(
        f"Flink runs {observed.flink_job_id} under this name, the record says {known}; "
        f"cancel the one that is not wanted in Flink ({observed.url}), then apply again",
        f"apply {question.spec.name}",
    )


def _begun_submission(question: Question, record: Deployment) -> Plan:
    observed = question.observed
    if observed.state.live and observed.health.sick and nothing_to_lose(question):
        return _live(question, record)  # waiting for a checkpoint of a job that cannot make one helps nobody
    if observed.state.live:
        return question.answer(
            Decision.FINISH, f"generation {record.generation} was submitted and not yet confirmed", Confirm()
        )
    if observed.state is JobState.ABSENT and observed.restore and observed.restore.kind is RestoreKind.CHECKPOINT:
        # It did run: what it completed since is newer than what it was started from.
        return question.answer(
            Decision.RECORD, "it ran and Flink no longer knows it", RecordEnd(DeploymentState.LOST, Outcome.FAILED)
        )
    if observed.state is JobState.ABSENT:
        return question.answer(
            Decision.FINISH,
            f"generation {record.generation} was about to be submitted and Flink does not have it",
            Preflight(),
            Resubmit(),
        )
    return _record_end(question)


def _begun_stop(question: Question, record: Deployment) -> Plan:
    observed = question.observed
    outcome = Outcome(record.outcome) if record.outcome in set(Outcome) else Outcome.UPGRADING
    if observed.state.live:
        stop = Stop(record.flink_job_id, outcome, _fallback(question), question.choice is Choice.REPLAY)
        return question.answer(Decision.FINISH, "a stop with savepoint was begun and the job still runs", stop)
    if observed.state is JobState.FINISHED and observed.savepoint_path:
        end = RecordEnd(DeploymentState.SUSPENDED, outcome, observed.savepoint_path)
        return question.answer(Decision.FINISH, "the job was stopped with a savepoint; record it", end)
    restore = usable_restore(question)
    end = RecordEnd(DeploymentState.SUSPENDED, outcome, restore.path if restore else None)
    return question.answer(Decision.FINISH, "the job ended while it was being stopped; record its newest state", end)


def _live(question: Question, record: Deployment) -> Plan:
    spec, observed = question.spec, question.observed
    if question.choice is Choice.REPLAY:
        return _replay(question, live=True)
    if question.choice is Choice.SUSPEND:
        return _suspend(question, Outcome.SUSPENDED_BY_HAND, "a person asks for it")
    if spec.desired_state is DesiredState.SUSPENDED and question.choice is not Choice.RESUME:
        return _suspend(question, Outcome.SUSPENDED_BY_SPEC, "job.yaml says suspended")
    if record.fingerprint != question.fingerprint:
        return _change(question)
    if observed.health.sick:
        return _heal(question)
    if record.state is DeploymentState.PARKED:
        if question.choice is Choice.RESUME:
            return question.answer(Decision.FINISH, "a person asks to take the parked job as it runs", Confirm())
        return _parked(question, record)
    reason = (
        "runs as described" if observed.health is Health.HEALTHY else f"{observed.health}: {observed.health_reason}"
    )
    return question.answer(Decision.NOTHING, reason)


def _suspend(question: Question, outcome: Outcome, why: str) -> Plan:
    job_id = question.observed.flink_job_id or ""
    replaceable = question.observed.health.sick and nothing_to_lose(question)
    if question.spec.upgrade_mode is UpgradeMode.SAVEPOINT and not replaceable:
        fallback = _fallback(question) if question.observed.health.sick else None
        return question.answer(Decision.SUSPEND, f"{why}: stop with a savepoint", Stop(job_id, outcome, fallback))
    restore = usable_restore(question)
    steps: tuple[Step, ...] = (
        Cancel(job_id, recorded=True),
        RecordEnd(DeploymentState.SUSPENDED, outcome, restore.path if restore else None),
    )
    # a savepoint is never less than the last state
    if question.spec.upgrade_mode.stateful and not replaceable:
        steps = (Stop(job_id, outcome, restore),)
    return question.answer(Decision.SUSPEND, f"{why}: stop", *steps)


def _change(question: Question) -> Plan:
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
        return _replace(question, Decision.UPGRADE, "changed", Trigger.CHANGE)
    if question.compatibility not in (Compatibility.SAME, Compatibility.COMPATIBLE):
        return _incompatible(question)
    return question.answer(
        Decision.UPGRADE,
        "changed, and its state fits: stop with a savepoint, go on from it",
        Preflight(),
        Stop(job_id, Outcome.UPGRADING, _fallback(question) if observed.health.sick else None),
        Submit(StartFrom.STOPPED, Trigger.CHANGE),
    )


def _replace(question: Question, decision: Decision, why: str, trigger: Trigger) -> Plan:
    return question.answer(
        decision,
        f"{why}; the running version never completed a checkpoint, so no state is lost: "
        "cancel it, start from the earliest offset",
        Preflight(),
        Cancel(question.observed.flink_job_id or "", recorded=True),
        Submit(StartFrom.EARLIEST, trigger),
    )


def _incompatible(question: Question) -> Plan:
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


def _heal(question: Question) -> Plan:
    observed, spec = question.observed, question.spec
    if question.recent_heals >= HEAL_BUDGET and question.choice is Choice.NONE:
        return _over_budget(question)
    job_id = observed.flink_job_id or ""
    reason = f"{observed.health}: {observed.health_reason}"
    if not spec.upgrade_mode.stateful:
        restart = (Cancel(job_id, recorded=True), Submit(StartFrom.EARLIEST, Trigger.HEAL))
        return question.answer(Decision.HEAL, f"{reason}; start it again", Preflight(), *restart)
    if nothing_to_lose(question):
        return _replace(question, Decision.HEAL, reason, Trigger.HEAL)
    return question.answer(
        Decision.HEAL,
        f"{reason}; stop with a savepoint if it can be had, go on from its state",
        Preflight(),
        Stop(job_id, Outcome.UPGRADING, _fallback(question)),
        Submit(StartFrom.STOPPED, Trigger.HEAL),
    )


def _over_budget(question: Question) -> Plan:
    observed = question.observed
    why = observed.health_reason or observed.detail or observed.state
    return question.park(
        f"it was redeployed {question.recent_heals} times in {HEAL_WINDOW_MINUTES} minutes and is still not well "
        f"({why}); find the cause first",
        f"resume {question.spec.name}",
        f"suspend {question.spec.name}",
    )


def _not_live(question: Question, record: Deployment) -> Plan:
    spec, observed = question.spec, question.observed
    if record.state is DeploymentState.RUNNING and observed.state is not JobState.ABSENT:
        return _record_end(question)
    if question.choice is Choice.REPLAY:
        return _replay(question, live=False)
    if question.choice is Choice.SUSPEND:
        return _leave_suspended(question, record)
    if question.choice is Choice.RESUME:
        return _restore(question, record, Trigger.HAND, "a person asks to resume it")
    if record.state is DeploymentState.PARKED:
        return _parked(question, record)
    if record.state in (DeploymentState.CANCELED, DeploymentState.FINISHED):
        what = "cancelled" if record.state is DeploymentState.CANCELED else "ended or was stopped"
        return question.answer(
            Decision.NOTHING,
            f"it {what} in Flink, which is respected; `gamestream jobs resume {spec.name}` runs it again",
        )
    if record.state is DeploymentState.SUSPENDED and record.outcome == Outcome.SUSPENDED_BY_HAND:
        return question.answer(
            Decision.NOTHING, f"a person suspended it; `gamestream jobs resume {spec.name}` runs it again"
        )
    if spec.desired_state is DesiredState.SUSPENDED:
        return _leave_suspended(question, record)
    if record.state is DeploymentState.SUSPENDED:
        return _restore(question, record, Trigger.CHANGE, "it was stopped to go on from its savepoint")
    if observed.cluster_lost:  # not the job's fault, so not at its budget's cost
        return _restore(question, record, Trigger.CLUSTER, "the cluster lost it, as a restart does")
    if question.recent_heals >= HEAL_BUDGET:
        return _over_budget(question)
    why = "Flink no longer knows it" if observed.state is JobState.ABSENT else "it failed"
    return _restore(question, record, Trigger.HEAL, why)


def _leave_suspended(question: Question, record: Deployment) -> Plan:
    if record.state is DeploymentState.SUSPENDED and (
        question.choice is not Choice.SUSPEND or record.outcome == Outcome.SUSPENDED_BY_HAND
    ):
        return question.answer(Decision.NOTHING, "suspended")
    by = Outcome.SUSPENDED_BY_HAND if question.choice is Choice.SUSPEND else Outcome.SUSPENDED_BY_SPEC
    restore = usable_restore(question)
    end = RecordEnd(DeploymentState.SUSPENDED, by, restore.path if restore else None)
    return question.answer(Decision.RECORD, "it does not run; leave it so", end)


def _restore(question: Question, record: Deployment, trigger: Trigger, why: str) -> Plan:
    spec, observed = question.spec, question.observed
    if not spec.upgrade_mode.stateful:
        steps = (Preflight(), Submit(StartFrom.EARLIEST, trigger))
        return question.answer(Decision.RESTORE, f"{why}; it keeps no state: start from the earliest offset", *steps)
    changed = record.fingerprint != question.fingerprint
    if changed and question.compatibility not in (Compatibility.SAME, Compatibility.COMPATIBLE):
        return _incompatible(question)
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


def _replay(question: Question, live: bool) -> Plan:
    submit = Submit(StartFrom.EARLIEST, Trigger.HAND)
    reason = "a person asks for a replay: fresh state, all events again from the earliest offset"
    if not live:
        return question.answer(Decision.DEPLOY, reason, Preflight(), submit)
    job_id = question.observed.flink_job_id or ""
    recorded = question.record is not None and question.record.flink_job_id == job_id
    if not recorded or not question.spec.upgrade_mode.stateful:
        return question.answer(Decision.DEPLOY, reason, Preflight(), Cancel(job_id, recorded), submit)
    # The old state is kept in a savepoint, if one can be had: a replay can be regretted.
    stop = Stop(job_id, Outcome.UPGRADING, _fallback(question), dispensable=True)
    kept = "the old state is kept as a savepoint if the job can make one"
    return question.answer(Decision.DEPLOY, f"{reason}; {kept}", Preflight(), stop, submit)


def _record_end(question: Question) -> Plan:
    observed = question.observed
    match observed.state:
        case JobState.CANCELED:
            end = RecordEnd(DeploymentState.CANCELED, Outcome.ENDED_BY_HAND)
            return question.answer(Decision.RECORD, "it was cancelled in Flink by a person, which is respected", end)
        case JobState.FINISHED:
            end = RecordEnd(DeploymentState.FINISHED, Outcome.ENDED_BY_HAND, observed.savepoint_path)
            return question.answer(Decision.RECORD, "it ended by itself or was stopped in Flink: respected", end)
        case _:
            end = RecordEnd(DeploymentState.FAILED, Outcome.FAILED)
            return question.answer(Decision.RECORD, f"it failed: {observed.detail or 'Flink says no more'}", end)


def _parked(question: Question, record: Deployment) -> Plan:
    name = question.spec.name
    return question.park(f"parked: {record.reason or 'no reason recorded'}", f"resume {name}", f"apply {name} --replay")


def _fallback(question: Question) -> RestorePoint | None:
    return usable_restore(question) if question.spec.upgrade_mode.stateful else None
