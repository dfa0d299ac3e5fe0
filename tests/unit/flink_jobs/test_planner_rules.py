"""What holds for every plan, whatever was observed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from gamestream_dagster.flink_jobs.plan.healing import HEAL_BUDGET
from gamestream_dagster.flink_jobs.plan.model import (
    Cancel,
    Choice,
    Compatibility,
    Decision,
    PlanInput,
    Preflight,
    RecordEnd,
    Resubmit,
    StartFrom,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState, HoldKind, Trigger
from gamestream_dagster.flink_jobs.record.observed import JobState
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState
from tests.support.fakes.job_questions import (
    CHECKPOINT,
    INHERITED,
    questions,
    record,
    seen,
)


def gives_up_state(question: PlanInput) -> bool:
    """What a person may say to start from nothing."""
    return question.choice is Choice.REPLAY or (question.choice is Choice.NEW_SEASON and question.seasonal)


@given(questions)
def test_nothing_is_done_on_no_answer(question: PlanInput) -> None:
    made = plan(replace(question, observed=replace(question.observed, state=JobState.UNKNOWN)))
    assert (made.decision, made.steps) == (Decision.WAIT, ())


@given(questions)
def test_no_plan_submits_twice_or_beside_a_running_job(question: PlanInput) -> None:
    made = plan(question)
    assert made.submits <= 1
    if made.submits and question.observed.state.live:
        stops = [step for step in made.steps if isinstance(step, Stop | Cancel)]
        assert [step.flink_job_id for step in stops] == [question.observed.flink_job_id]
        assert made.steps.index(stops[0]) < len(made.steps) - 1
        assert not question.observed.duplicates


@given(questions)
def test_no_plan_lowers_a_stateful_mode(question: PlanInput) -> None:
    spec, last = question.spec, question.record
    made = plan(question)
    from_nothing = [s for s in made.steps if isinstance(s, Submit) and s.start is StartFrom.EARLIEST]
    if not (spec.upgrade_mode.stateful and from_nothing and not gives_up_state(question)):
        return
    # Only where there never was a state: no deployment, or one that started from nothing and completed nothing.
    # Of a live job Flink itself says so.
    assert not question.observed.state.live or question.observed.never_checkpointed
    assert last is None or (not last.ever_checkpointed and not last.restore_path and not question.observed.restore)


@given(questions)
def test_no_plan_goes_on_from_a_state_in_doubt_or_records_an_older_one(question: PlanInput) -> None:
    made, last = plan(question), question.record
    back = made.decision is Decision.ROLLBACK  # then it is the state of the version that it goes back to
    point = question.rollback
    facts = (point.facts if point else None) if back else question.observed.restore_facts
    restored = [step.path for step in made.steps if isinstance(step, Submit) and step.start is StartFrom.PATH]
    if restored and facts:
        assert facts.exists is not False
        assert (facts.age_hours or 0) <= question.spec.limits.restore_age_hours
        assert not facts.events_lost
        given_up = (facts.age_hours or 0) * 3600 > (question.transaction_timeout or float("inf"))
        if given_up and not back and question.observed.restore == CHECKPOINT:
            assert question.choice is Choice.RESUME  # the command that decides
    if question.observed.restore == INHERITED and last and last.ever_checkpointed:
        kept = [step.savepoint_path for step in made.steps if isinstance(step, RecordEnd)]
        fallbacks = [step.or_else for step in made.steps if isinstance(step, Stop)]
        assert INHERITED.path not in restored + kept
        assert INHERITED not in fallbacks


@given(questions)
def test_the_budget_holds_for_every_heal(question: PlanInput) -> None:
    made = plan(replace(question, recent_heals=HEAL_BUDGET, choice=Choice.NONE))
    assert all(step.trigger is not Trigger.HEAL for step in made.steps if isinstance(step, Submit))


def has_no_state(question: PlanInput) -> bool:
    last, observed = question.record, question.observed
    if last is None or last.ever_checkpointed or last.restore_path or last.savepoint_path:
        return False
    return observed.restore is None and observed.never_checkpointed


@given(questions)
def test_a_running_stateful_job_is_only_stopped_with_its_state(question: PlanInput) -> None:
    made = plan(question)
    for step in made.steps:
        if isinstance(step, Cancel) and step.recorded:
            assert not question.spec.upgrade_mode.stateful or has_no_state(question)
        if isinstance(step, Stop) and step.dispensable:
            assert question.choice in (Choice.REPLAY, Choice.ROLLBACK, Choice.NEW_SEASON)
    if question.spec.upgrade_mode.stateful and made.submits and any(isinstance(s, Stop) for s in made.steps):
        submit = made.steps[-1]
        assert isinstance(submit, Submit)
        back = question.choice is Choice.ROLLBACK and submit.start is StartFrom.PATH
        assert submit.start is StartFrom.STOPPED or back or gives_up_state(question)


@given(questions)
def test_every_plan_says_why_and_a_parked_one_how_to_decide(question: PlanInput) -> None:
    made = plan(question)
    assert made.reason
    assert (made.decision in (Decision.PARK, Decision.REFUSE)) == bool(made.choices)
    if made.decision in (Decision.NOTHING, Decision.WAIT, Decision.PARK, Decision.REFUSE):
        assert made.steps == ()
    else:
        assert made.steps
    if made.decision is Decision.REFUSE and not question.choice.asked:  # then it is the folder's SQL that is refused
        assert question.findings
        assert question.findings[0] in made.reason


@given(questions)
def test_the_version_that_is_checked_is_the_one_that_is_submitted(question: PlanInput) -> None:
    made = plan(question)
    checked = [step.deployed for step in made.steps if isinstance(step, Preflight)]
    submitted = [step.deployed for step in made.steps if isinstance(step, Submit | Resubmit)]
    assert checked == submitted
    known = {question.record.generation} if question.record and question.record.stored else set()
    if question.choice is Choice.ROLLBACK and question.rollback:
        known.add(question.rollback.generation)
    assert {one for one in submitted if one is not None} <= known


@given(questions)
def test_no_version_is_given_a_state_that_does_not_fit_it(question: PlanInput) -> None:
    for step in plan(question).steps:
        if isinstance(step, Submit) and step.start is not StartFrom.EARLIEST and step.deployed is None:
            fits = question.compatibility in (Compatibility.SAME, Compatibility.COMPATIBLE)
            assert fits or not question.changed or not question.spec.upgrade_mode.stateful


@given(questions)
def test_a_version_that_a_person_holds_is_not_replaced_unasked(question: PlanInput) -> None:
    last = question.record
    if last is None or question.hold is None or question.choice is Choice.ROLLBACK or gives_up_state(question):
        return
    lasting = question.hold.kind is HoldKind.KEEP or question.choice is not Choice.NONE
    if not lasting:  # a rollback lasts until a person applies
        return
    for step in plan(question).steps:
        if isinstance(step, Submit):
            assert (step.deployed, step.hold) == (last.generation, question.hold)


@given(questions)
def test_a_rollback_takes_that_version_with_its_own_state_and_holds_it(question: PlanInput) -> None:
    made, point = plan(question), question.rollback
    for step in made.steps:
        if isinstance(step, Submit) and step.trigger is Trigger.ROLLBACK:
            assert question.choice is Choice.ROLLBACK
            assert point is not None
            stateful = question.spec.upgrade_mode.stateful
            assert step.path == (point.restore.path if stateful and point.restore else None)
            assert not stateful or step.path
            against = None if point.fingerprint == question.fingerprint else question.fingerprint
            assert (step.hold.against if step.hold else None) == against


@given(questions)
def test_a_new_version_that_failed_at_once_is_not_brought_back_unasked(question: PlanInput) -> None:
    last = question.record
    if last is None or last.state is not DeploymentState.RUNNING or question.observed.state is not JobState.FAILED:
        return
    made = plan(replace(question, unsteady=True))
    if last.trigger in (Trigger.HEAL, Trigger.CLUSTER) or question.observed.duplicates:
        return
    assert [step.state for step in made.steps if isinstance(step, RecordEnd)] == [DeploymentState.PARKED]


@given(questions)
def test_a_healthy_job_as_described_is_left_alone(question: PlanInput) -> None:
    observed = replace(seen(), restore=question.observed.restore)
    spec = question.spec.model_copy(update={"desired_state": DesiredState.RUNNING})
    made = plan(replace(question, spec=spec, observed=observed, record=record(), choice=Choice.NONE))
    assert made.decision is Decision.NOTHING
