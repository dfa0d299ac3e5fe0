"""What holds for every plan, whatever was observed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from gamestream_dagster.flink_jobs.deployment import Trigger
from gamestream_dagster.flink_jobs.healing import HEAL_BUDGET
from gamestream_dagster.flink_jobs.observed import (
    JobState,
)
from gamestream_dagster.flink_jobs.plan import (
    Cancel,
    Choice,
    Decision,
    Question,
    RecordEnd,
    StartFrom,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.planner import plan
from gamestream_dagster.flink_jobs.spec import DesiredState
from tests.fakes.job_questions import (
    INHERITED,
    questions,
    record,
    seen,
)


@given(questions)
def test_nothing_is_done_on_no_answer(question: Question) -> None:
    made = plan(replace(question, observed=replace(question.observed, state=JobState.UNKNOWN)))
    assert (made.decision, made.steps) == (Decision.WAIT, ())


@given(questions)
def test_no_plan_submits_twice_or_beside_a_running_job(question: Question) -> None:
    made = plan(question)
    assert made.submits <= 1
    if made.submits and question.observed.state.live:
        stops = [step for step in made.steps if isinstance(step, Stop | Cancel)]
        assert [step.flink_job_id for step in stops] == [question.observed.flink_job_id]
        assert made.steps.index(stops[0]) < len(made.steps) - 1
        assert not question.observed.duplicates


@given(questions)
def test_no_plan_lowers_a_stateful_mode(question: Question) -> None:
    spec, last = question.spec, question.record
    made = plan(question)
    from_nothing = [s for s in made.steps if isinstance(s, Submit) and s.start is StartFrom.EARLIEST]
    if not (spec.upgrade_mode.stateful and from_nothing and question.choice is not Choice.REPLAY):
        return
    # Only where there never was a state: no deployment, or one that started from nothing and completed nothing.
    # Of a live job Flink itself says so.
    assert not question.observed.state.live or question.observed.never_checkpointed
    assert last is None or (not last.ever_checkpointed and not last.restore_path and not question.observed.restore)


@given(questions)
def test_no_plan_goes_on_from_a_state_in_doubt_or_records_an_older_one(question: Question) -> None:
    facts, last = question.observed.restore_facts, question.record
    made = plan(question)
    restored = [step.path for step in made.steps if isinstance(step, Submit) and step.start is StartFrom.PATH]
    if restored and facts:
        assert facts.exists is not False
        assert (facts.age_hours or 0) <= question.spec.limits.restore_age_hours
        assert not facts.events_lost
    if question.observed.restore == INHERITED and last and last.ever_checkpointed:
        kept = [step.savepoint_path for step in made.steps if isinstance(step, RecordEnd)]
        fallbacks = [step.or_else for step in made.steps if isinstance(step, Stop)]
        assert INHERITED.path not in restored + kept
        assert INHERITED not in fallbacks


@given(questions)
def test_the_budget_holds_for_every_heal(question: Question) -> None:
    made = plan(replace(question, recent_heals=HEAL_BUDGET, choice=Choice.NONE))
    assert all(step.trigger is not Trigger.HEAL for step in made.steps if isinstance(step, Submit))


def has_no_state(question: Question) -> bool:
    last, observed = question.record, question.observed
    if last is None or last.ever_checkpointed or last.restore_path or last.savepoint_path:
        return False
    return observed.restore is None and observed.never_checkpointed


@given(questions)
def test_a_running_stateful_job_is_only_stopped_with_its_state(question: Question) -> None:
    made = plan(question)
    for step in made.steps:
        if isinstance(step, Cancel) and step.recorded:
            assert not question.spec.upgrade_mode.stateful or has_no_state(question)
        if isinstance(step, Stop) and step.dispensable:
            assert question.choice is Choice.REPLAY
    if question.spec.upgrade_mode.stateful and made.submits and any(isinstance(s, Stop) for s in made.steps):
        submit = made.steps[-1]
        assert isinstance(submit, Submit)
        assert submit.start is StartFrom.STOPPED or question.choice is Choice.REPLAY


@given(questions)
def test_every_plan_says_why_and_a_parked_one_how_to_decide(question: Question) -> None:
    made = plan(question)
    assert made.reason
    assert (made.decision is Decision.PARK) == bool(made.choices)
    if made.decision in (Decision.NOTHING, Decision.WAIT, Decision.PARK):
        assert made.steps == ()
    else:
        assert made.steps


@given(questions)
def test_a_healthy_job_as_described_is_left_alone(question: Question) -> None:
    observed = replace(seen(), restore=question.observed.restore)
    spec = question.spec.model_copy(update={"desired_state": DesiredState.RUNNING})
    made = plan(replace(question, spec=spec, observed=observed, record=record(), choice=Choice.NONE))
    assert made.decision is Decision.NOTHING
