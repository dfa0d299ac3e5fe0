"""Decides: (spec, observed, last deployment) -> Plan. Pure: no I/O, no clock, no log. The dry run prints this value.

The rules, in order:
1. No answer from Flink: wait. 2. The same job twice: stop the younger. 3. Complete a step that was started.
4. Respect what an operator did in Flink or requested with `suspend`. 5. Compare desired and observed.
A stateful job never starts without state, except the first time, on `--replay`, or when it has
no state to lose: it started without state and never completed a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping

from gamestream_dagster.flink_jobs.plan.changes import (
    change,
    fits,
    keep,
    new_season,
    on_another_topic,
    redeploy,
    refuse_faulty,
    replay,
    rollback,
    stack_down,
    stand_still,
    suspend,
)
from gamestream_dagster.flink_jobs.plan.healing import HEAL_BUDGET, heal, over_budget, parked, restore
from gamestream_dagster.flink_jobs.plan.model import (
    Adopt,
    Cancel,
    Choice,
    Confirm,
    Decision,
    Plan,
    PlanInput,
    Preflight,
    RecordEnd,
    Resubmit,
    StartFrom,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.plan.restoring import fallback, nothing_to_lose, usable_restore
from gamestream_dagster.flink_jobs.record.deployment import (
    Deployment,
    DeploymentState,
    HoldKind,
    Outcome,
    Trigger,
    pending,
)
from gamestream_dagster.flink_jobs.record.observed import Health, JobState, RestoreKind
from gamestream_dagster.flink_jobs.spec.job_spec import FINGERPRINT_LENGTH, DesiredState

# Requests for which an operator gives up the running version's state if it cannot make a savepoint.
_GIVE_UP = (Choice.REPLAY, Choice.ROLLBACK, Choice.NEW_SEASON)
_STOPPED_FOR: Mapping[str | None, str] = {
    Outcome.STACK_DOWN: "because the stack went down",
    Outcome.STANDSTILL: "for a proof, which has ended",
}


def plan(question: PlanInput) -> Plan:
    """The steps from the observed to the desired state."""
    made = _plan(question)
    if question.findings and any(isinstance(step, Submit | Resubmit) and step.deployed is None for step in made.steps):
        return refuse_faulty(question)
    return made


def _plan(question: PlanInput) -> Plan:
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


def _stop_duplicates(question: PlanInput) -> Plan:
    observed, record = question.observed, question.record
    ours = observed.flink_job_id
    kept_by = "it is the recorded one" if record and record.flink_job_id == ours else "it is the older one"
    steps = tuple(Cancel(other.flink_job_id, recorded=False) for other in observed.duplicates)
    named = ", ".join(other.flink_job_id for other in observed.duplicates)
    reason = f"the job runs more than once; {ours} stays ({kept_by}), stop {named}"
    return question.answer(Decision.TIDY, reason, *steps)


def _without_record(question: PlanInput) -> Plan:
    observed, spec = question.observed, question.spec
    if observed.state.live and observed.flink_job_id:
        if observed.fingerprint == question.fingerprint[:FINGERPRINT_LENGTH]:
            adopt = Adopt(observed.flink_job_id)
            return question.answer(Decision.RECORD, "the job runs as described, without a record of it", adopt)
        if question.choice is Choice.REPLAY:
            return replay(question, live=True)
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


def _foreign(question: PlanInput) -> Plan:
    observed, record = question.observed, question.record
    known = record.flink_job_id if record else "none"
    return question.park(
        f"Flink runs {observed.flink_job_id} under this name, the record says {known}; "
        f"cancel the one that is not wanted in Flink ({observed.url}), then apply again",
        f"apply {question.spec.name}",
    )


def _begun_submission(question: PlanInput, record: Deployment) -> Plan:
    observed = question.observed
    if question.choice is Choice.STACK_DOWN and observed.state in (JobState.ABSENT, JobState.RUNNING):
        return _live(question, record) if observed.state.live else stack_down(question)
    if observed.state.live and observed.health.sick and nothing_to_lose(question):
        return _live(question, record)  # waiting for a checkpoint of a job that cannot make one is pointless
    if observed.state.live:
        return question.answer(
            Decision.FINISH, f"generation {record.generation} was submitted and not yet confirmed", Confirm()
        )
    if observed.state is JobState.ABSENT and observed.restore and observed.restore.kind is RestoreKind.CHECKPOINT:
        # It did run: its own checkpoints are newer than its initial state.
        return question.answer(
            Decision.RECORD, "it ran and Flink no longer knows it", RecordEnd(DeploymentState.LOST, Outcome.FAILED)
        )
    if observed.state is JobState.ABSENT and record.restore_path and observed.other_topics:
        asked = replay(question, live=False) if question.choice is Choice.REPLAY else on_another_topic(question)
        if asked:
            return asked
    if observed.state is JobState.ABSENT:
        return question.answer(
            Decision.FINISH,
            f"generation {record.generation} was about to be submitted and Flink does not have it",
            Preflight(record.generation if record.stored else None),
            Resubmit(record.generation if record.stored else None),
        )
    return _record_end(question, record)


def _begun_stop(question: PlanInput, record: Deployment) -> Plan:
    observed = question.observed
    outcome = Outcome(record.outcome) if record.outcome in set(Outcome) else Outcome.UPGRADING
    if observed.state.live:
        stop = Stop(record.flink_job_id, outcome, fallback(question), question.choice in _GIVE_UP)
        return question.answer(Decision.FINISH, "a stop with savepoint was begun and the job still runs", stop)
    if observed.state is JobState.FINISHED and observed.savepoint_path:
        end = RecordEnd(DeploymentState.SUSPENDED, outcome, observed.savepoint_path)
        return question.answer(Decision.FINISH, "the job was stopped with a savepoint; record it", end)
    restore = usable_restore(question)
    end = RecordEnd(DeploymentState.SUSPENDED, outcome, restore.path if restore else None)
    return question.answer(Decision.FINISH, "the job ended while it was being stopped; record its newest state", end)


def _live(question: PlanInput, record: Deployment) -> Plan:
    spec, observed = question.spec, question.observed
    if question.choice is Choice.SUSPEND:
        return suspend(question, Outcome.SUSPENDED_BY_HAND, "a person asks for it")
    if question.choice is Choice.STANDSTILL:
        return stand_still(question)
    if spec.desired_state is DesiredState.SUSPENDED and question.choice in (
        Choice.NONE,
        Choice.HEAL,
        Choice.STACK_DOWN,
    ):
        return suspend(question, Outcome.SUSPENDED_BY_SPEC, "job.yaml says suspended")
    asked = on_another_topic(question) or _asked(question, record)
    if asked:
        return asked
    if question.changed and not question.held:
        bring_back = observed.health.sick and not nothing_to_lose(question) and record.stored
        return heal(question) if bring_back and _does_not_fit(question) else change(question)
    if observed.health.sick:
        return heal(question)
    if record.state is DeploymentState.PARKED:
        if question.choice is Choice.RESUME:
            return question.answer(Decision.FINISH, "a person asks to take the parked job as it runs", Confirm())
        return parked(question, record)
    if observed.health is not Health.HEALTHY:
        return question.answer(Decision.NOTHING, f"{observed.health}: {observed.health_reason}")
    return question.answer(Decision.NOTHING, pending(record, question.fingerprint) or "runs as described")


def _does_not_fit(question: PlanInput) -> bool:
    return question.spec.upgrade_mode.stateful and not fits(question)


def _asked(question: PlanInput, record: Deployment) -> Plan | None:
    """The request besides suspending and resuming; None where it changes nothing."""
    live = question.observed.state.live
    match question.choice:
        case Choice.STACK_DOWN:
            return stack_down(question)
        case Choice.REPLAY:
            return replay(question, live)
        case Choice.ROLLBACK:
            return rollback(question, record)
        case Choice.NEW_SEASON:
            return new_season(question)
        case Choice.KEEP if question.hold is None or question.hold.kind is not HoldKind.KEEP:
            return keep(question, record)
        case Choice.REDEPLOY if live:
            return redeploy(question)
        case _:
            return None


def _not_live(question: PlanInput, record: Deployment) -> Plan:
    spec, observed = question.spec, question.observed
    if record.state is DeploymentState.RUNNING and observed.state is not JobState.ABSENT:
        return _record_end(question, record)
    if question.choice is Choice.SUSPEND:
        return _leave_suspended(question, record)
    asked = on_another_topic(question) or _for_a_proof(question, record) or _asked(question, record)
    if asked:
        return asked
    if question.choice in (Choice.RESUME, Choice.REDEPLOY):
        return restore(question, record, Trigger.HAND, f"a person asks to {question.choice} it")
    if record.state is DeploymentState.PARKED:
        return parked(question, record)
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
        why = _STOPPED_FOR.get(record.outcome, "to go on from its savepoint")
        trigger = Trigger.CLUSTER if record.paused else Trigger.CHANGE
        return restore(question, record, trigger, f"it was stopped {why}")
    if observed.cluster_lost:  # not the job's fault, so it does not use up its budget
        return restore(question, record, Trigger.CLUSTER, "the cluster lost it, as a restart does")
    if question.recent_heals >= HEAL_BUDGET:
        return over_budget(question)
    why = "Flink no longer knows it" if observed.state is JobState.ABSENT else "it failed"
    return restore(question, record, Trigger.HEAL, why)


def _for_a_proof(question: PlanInput, record: Deployment) -> Plan | None:
    """A proof wants the job to stop, or has stopped it and resumes it; None otherwise."""
    if question.choice is Choice.STANDSTILL:
        return stand_still(question)
    if record.stands_still and question.standing and not question.choice.asked:
        return question.answer(Decision.WAIT, "it stands still for a proof, and goes on when that has ended")
    return None


def _leave_suspended(question: PlanInput, record: Deployment) -> Plan:
    if record.state is DeploymentState.SUSPENDED and (
        question.choice is not Choice.SUSPEND or record.outcome == Outcome.SUSPENDED_BY_HAND
    ):
        return question.answer(Decision.NOTHING, "suspended")
    by = Outcome.SUSPENDED_BY_HAND if question.choice is Choice.SUSPEND else Outcome.SUSPENDED_BY_SPEC
    restore = usable_restore(question)
    end = RecordEnd(DeploymentState.SUSPENDED, by, restore.path if restore else None)
    return question.answer(Decision.RECORD, "it does not run; leave it so", end)


def _record_end(question: PlanInput, record: Deployment) -> Plan:
    observed = question.observed
    match observed.state:
        case JobState.CANCELED:
            end = RecordEnd(DeploymentState.CANCELED, Outcome.ENDED_BY_HAND)
            return question.answer(Decision.RECORD, "it was cancelled in Flink by a person, which is respected", end)
        case JobState.FINISHED:
            end = RecordEnd(DeploymentState.FINISHED, Outcome.ENDED_BY_HAND, observed.savepoint_path)
            return question.answer(Decision.RECORD, "it ended by itself or was stopped in Flink: respected", end)
        case _:
            why = f"it failed: {observed.detail or 'Flink says no more'}"
            end = RecordEnd(DeploymentState.FAILED, Outcome.FAILED)
            if question.unsteady and record.trigger not in (Trigger.HEAL, Trigger.CLUSTER):
                # The new version failed its contract: another start would not help.
                seconds = question.spec.limits.steady_seconds
                why = f"it came up and failed within {seconds:.0f} s: {observed.detail or 'Flink says no more'}"
                end = RecordEnd(DeploymentState.PARKED, Outcome.CONTRACT_BROKEN, reason=why)
            return question.answer(Decision.RECORD, why, end)
