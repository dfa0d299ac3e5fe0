"""The planner's table, one test a row, and the rules that hold for every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamestream_dagster.flink_jobs.deployment import Deployment, DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.observed import (
    STALL_MS,
    Figures,
    Health,
    JobState,
    LiveJob,
    ObservedJob,
    RestoreFacts,
    RestoreKind,
    RestorePoint,
    assess,
)
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
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.planner import HEAL_BUDGET, plan
from gamestream_dagster.flink_jobs.spec import DesiredState, UpgradeMode
from tests.fakes.job_specs import job_spec

NEW, OLD = "a" * 64, "b" * 64
CHECKPOINT = RestorePoint("file:/ck/1/chk-7", RestoreKind.CHECKPOINT)
SAVEPOINT = RestorePoint("file:/sp/1", RestoreKind.SAVEPOINT)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(state: DeploymentState = DeploymentState.RUNNING, **changes: Any) -> Deployment:
    made = Deployment("totals_v1-g1", "totals_v1", 1, NEW, "id1", state, "savepoint", submitted_at=NOW, running_at=NOW)
    return replace(made, **changes)


def seen(state: JobState = JobState.RUNNING, health: Health = Health.HEALTHY, **changes: Any) -> ObservedJob:
    if state is JobState.ABSENT:
        made = ObservedJob("totals_v1", state, restore=CHECKPOINT)
    else:
        made = ObservedJob(
            "totals_v1", state, "id1", "totals_v1@aaaaaaaa-g1", "aaaaaaaa", 1, health, "why", restore=CHECKPOINT
        )
    return replace(made, **changes)


def decide(observed: ObservedJob, last: Deployment | None = None, **changes: Any) -> Plan:
    spec = job_spec(**changes.pop("spec", {}))
    return plan(Question(spec, NEW, observed, last, **changes))


def kinds(made: Plan) -> list[str]:
    return [type(step).__name__ for step in made.steps]


def test_never_deployed_starts_from_the_earliest_offset() -> None:
    made = decide(seen(JobState.ABSENT, restore=None))
    assert made.decision is Decision.DEPLOY
    assert made.steps == (Preflight(), Submit(StartFrom.EARLIEST, Trigger.FIRST))


def test_healthy_with_the_same_fingerprint_is_left_alone() -> None:
    assert decide(seen(), record()).decision is Decision.NOTHING


def test_a_change_whose_state_fits_goes_through_a_savepoint() -> None:
    made = decide(seen(), record(fingerprint=OLD), compatibility=Compatibility.COMPATIBLE)
    assert made.decision is Decision.UPGRADE
    assert made.steps == (
        Preflight(),
        Stop("id1", Outcome.UPGRADING, None),
        Submit(StartFrom.STOPPED, Trigger.CHANGE),
    )


@pytest.mark.parametrize("compatibility", [Compatibility.INCOMPATIBLE, Compatibility.UNKNOWN])
def test_a_change_whose_state_does_not_fit_asks(compatibility: Compatibility) -> None:
    made = decide(seen(), record(fingerprint=OLD), compatibility=compatibility)
    assert made.decision is Decision.PARK
    assert made.steps == ()
    assert made.choices == ("gamestream jobs apply totals_v1 --replay",)


def test_a_replay_keeps_the_old_state_as_a_savepoint() -> None:
    made = decide(seen(), record(fingerprint=OLD), compatibility=Compatibility.INCOMPATIBLE, choice=Choice.REPLAY)
    assert kinds(made) == ["Preflight", "Stop", "Submit"]
    assert made.steps[-1] == Submit(StartFrom.EARLIEST, Trigger.HAND)
    assert made.steps[1] == Stop("id1", Outcome.UPGRADING, CHECKPOINT, dispensable=True)


EMPTY = Figures(now_ms=1_000_000, recent_failures=6, last_failure="boom")


@pytest.mark.parametrize("state", [DeploymentState.PARKED, DeploymentState.SUBMITTING])
@pytest.mark.parametrize("compatibility", Compatibility)
def test_a_changed_job_that_never_had_a_state_is_replaced(state: DeploymentState, compatibility: Compatibility) -> None:
    looping = seen(health=Health.LOOPING, restore=None, figures=EMPTY)
    made = decide(looping, record(state, fingerprint=OLD, running_at=None), compatibility=compatibility)
    assert made.decision is Decision.UPGRADE
    assert made.steps == (Preflight(), Cancel("id1", recorded=True), Submit(StartFrom.EARLIEST, Trigger.CHANGE))


@pytest.mark.parametrize(
    ("last", "observed"),
    [
        ({"running_at": NOW}, {}),
        ({"restore_path": "file:/sp/0"}, {}),
        ({"savepoint_path": "file:/sp/0"}, {}),
        ({}, {"restore": CHECKPOINT}),
        ({}, {"figures": None}),
        ({}, {"figures": replace(EMPTY, checkpoint_id=3)}),
        ({}, {"figures": replace(EMPTY, restored_path="file:/sp/0")}),
    ],
)
def test_a_state_that_may_exist_is_not_thrown_away(last: dict[str, Any], observed: dict[str, Any]) -> None:
    looping = seen(**{"health": Health.LOOPING, "restore": None, "figures": EMPTY, **observed})
    parked = record(DeploymentState.PARKED, **{"fingerprint": OLD, "running_at": None, **last})
    assert decide(looping, parked, compatibility=Compatibility.INCOMPATIBLE).decision is Decision.PARK


def test_a_looping_job_without_any_state_is_healed_and_suspended_by_a_cancel() -> None:
    looping, parked = seen(health=Health.LOOPING, restore=None, figures=EMPTY), record(running_at=None)
    cancel = Cancel("id1", recorded=True)
    assert decide(looping, parked).steps == (Preflight(), cancel, Submit(StartFrom.EARLIEST, Trigger.HEAL))
    suspended = decide(looping, parked, choice=Choice.SUSPEND)
    assert suspended.steps == (cancel, RecordEnd(DeploymentState.SUSPENDED, Outcome.SUSPENDED_BY_HAND))


def test_gone_after_a_cluster_restart_goes_on_from_the_newest_state() -> None:
    made = decide(seen(JobState.ABSENT), record())
    assert made.decision is Decision.RESTORE
    assert made.steps == (Preflight(), Submit(StartFrom.PATH, Trigger.HEAL, CHECKPOINT.path))


def test_failed_is_recorded_and_then_restored() -> None:
    first = decide(seen(JobState.FAILED), record())
    assert first.steps == (RecordEnd(DeploymentState.FAILED, Outcome.FAILED),)
    then = decide(seen(JobState.FAILED), record(DeploymentState.FAILED))
    assert then.steps[-1] == Submit(StartFrom.PATH, Trigger.HEAL, CHECKPOINT.path)


def test_gone_with_no_state_to_be_found_is_parked_and_never_started_from_nothing() -> None:
    made = decide(seen(JobState.ABSENT, restore=None), record())
    assert made.decision is Decision.PARK
    assert "--replay" in made.choices[0]


def test_gone_before_its_first_checkpoint_had_no_state_to_lose() -> None:
    made = decide(seen(JobState.ABSENT, restore=None), record(DeploymentState.FAILED, running_at=None))
    assert made.steps[-1] == Submit(StartFrom.EARLIEST, Trigger.HEAL)


@pytest.mark.parametrize("health", [Health.LOOPING, Health.NO_CHECKPOINT, Health.STALLED])
def test_sick_is_redeployed_from_a_savepoint_or_else_its_last_checkpoint(health: Health) -> None:
    made = decide(seen(health=health), record())
    assert made.decision is Decision.HEAL
    assert made.steps[1:] == (
        Stop("id1", Outcome.UPGRADING, CHECKPOINT),
        Submit(StartFrom.STOPPED, Trigger.HEAL),
    )


@pytest.mark.parametrize("observed", [seen(health=Health.LOOPING), seen(JobState.ABSENT)])
def test_the_fourth_redeploy_in_the_window_is_parked(observed: ObservedJob) -> None:
    assert decide(observed, record(), recent_heals=HEAL_BUDGET).decision is Decision.PARK
    assert decide(observed, record(), recent_heals=HEAL_BUDGET - 1).steps


def test_a_loss_of_the_cluster_costs_no_budget_and_a_failure_does() -> None:
    lost = decide(seen(JobState.ABSENT, cluster_lost=True), record(), recent_heals=HEAL_BUDGET + 1)
    assert lost.steps == (Preflight(), Submit(StartFrom.PATH, Trigger.CLUSTER, CHECKPOINT.path))
    failed = decide(seen(JobState.ABSENT), record(DeploymentState.FAILED), recent_heals=HEAL_BUDGET)
    assert failed.decision is Decision.PARK


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.ABSENT])
def test_a_dead_job_whose_change_does_not_fit_says_what_to_run(state: JobState) -> None:
    last = record(DeploymentState.FAILED, fingerprint=OLD, spec={"code_version": "1234abcd"})
    made = decide(seen(state), last, compatibility=Compatibility.INCOMPATIBLE)
    assert made.choices == ("gamestream jobs apply totals_v1", "gamestream jobs apply totals_v1 --replay")
    assert "generation 1 (code version 1234abcd)" in made.reason
    assert "left alone" not in made.reason  # nothing runs


INHERITED = RestorePoint("file:/sp/0", RestoreKind.INHERITED)


@pytest.mark.parametrize(
    ("observed", "sentence"),
    [
        ({"restore_facts": RestoreFacts(exists=False)}, "gone or incomplete"),
        ({"restore_facts": RestoreFacts(True, age_hours=169)}, "169 h old, the limit is 168 h"),
        ({"restore_facts": RestoreFacts(True, 1, events_lost=7)}, "7 events"),
        ({"restore": INHERITED}, "the checkpoints that it completed itself cannot be read"),
    ],
)
@pytest.mark.parametrize("choice", [Choice.NONE, Choice.RESUME])
def test_a_state_that_is_in_doubt_is_not_restored(observed: dict[str, Any], sentence: str, choice: Choice) -> None:
    made = decide(seen(JobState.ABSENT, **observed), record(), choice=choice)
    assert made.decision is Decision.PARK
    assert sentence in made.reason
    assert made.choices == ("gamestream jobs apply totals_v1 --replay",)


def test_a_state_without_doubt_is_restored() -> None:
    good = seen(JobState.ABSENT, restore_facts=RestoreFacts(True, 167.9, 0))
    assert decide(good, record()).decision is Decision.RESTORE
    # it completed nothing itself: what it was started from is its newest state
    first = seen(JobState.ABSENT, restore=INHERITED)
    assert decide(first, record(DeploymentState.FAILED, running_at=None)).steps[-1] == Submit(
        StartFrom.PATH, Trigger.HEAL, "file:/sp/0"
    )
    older = {"restore_age_hours": 200}
    aged = seen(JobState.ABSENT, restore_facts=RestoreFacts(True, 199))
    assert decide(aged, record(), spec={"limits": older}).decision is Decision.RESTORE


@pytest.mark.parametrize("state", [JobState.STARTING, JobState.RESTARTING])
def test_a_job_that_flink_brings_back_itself_is_left_alone(state: JobState) -> None:
    assert decide(seen(state, Health.RECOVERING), record()).decision is Decision.NOTHING


def test_unknown_waits() -> None:
    made = decide(ObservedJob("totals_v1", JobState.UNKNOWN, detail="no answer"), record())
    assert made.decision is Decision.WAIT
    assert made.steps == ()


def test_desired_suspended_stops_with_a_savepoint() -> None:
    made = decide(seen(), record(), spec={"desired_state": DesiredState.SUSPENDED})
    assert made.steps == (Stop("id1", Outcome.SUSPENDED_BY_SPEC, None),)


def test_suspended_by_the_folder_and_wanted_again_goes_on() -> None:
    last = record(DeploymentState.SUSPENDED, outcome=Outcome.SUSPENDED_BY_SPEC.value)
    made = decide(seen(JobState.FINISHED, restore=SAVEPOINT), last)
    assert made.steps[-1] == Submit(StartFrom.PATH, Trigger.CHANGE, SAVEPOINT.path)


def test_suspended_by_a_person_stays_until_resumed() -> None:
    last = record(DeploymentState.SUSPENDED, outcome=Outcome.SUSPENDED_BY_HAND.value)
    observed = seen(JobState.FINISHED, restore=SAVEPOINT)
    assert decide(observed, last).decision is Decision.NOTHING
    assert decide(observed, last, choice=Choice.RESUME).steps[-1] == Submit(
        StartFrom.PATH, Trigger.HAND, SAVEPOINT.path
    )


def test_a_cancel_by_a_person_is_recorded_respected_and_can_be_resumed() -> None:
    first = decide(seen(JobState.CANCELED), record())
    assert first.steps == (RecordEnd(DeploymentState.CANCELED, Outcome.ENDED_BY_HAND),)
    for state in (JobState.CANCELED, JobState.ABSENT):  # also after Flink has forgotten it
        assert decide(seen(state), record(DeploymentState.CANCELED)).decision is Decision.NOTHING
        resumed = decide(seen(state), record(DeploymentState.CANCELED), choice=Choice.RESUME)
        assert resumed.steps[-1] == Submit(StartFrom.PATH, Trigger.HAND, CHECKPOINT.path)


def test_the_younger_of_two_is_stopped() -> None:
    made = decide(seen(duplicates=(LiveJob("id2", 5),)), record())
    assert made.steps == (Cancel("id2", recorded=False),)


def test_an_intent_that_never_reached_flink_is_submitted_with_its_own_id() -> None:
    made = decide(seen(JobState.ABSENT, restore=None), record(DeploymentState.SUBMITTING, running_at=None))
    assert made.steps == (Preflight(), Resubmit())


def test_an_intent_that_reached_flink_is_only_confirmed() -> None:
    made = decide(seen(), record(DeploymentState.SUBMITTING, running_at=None))
    assert made.steps == (Confirm(),)


def test_an_unconfirmed_job_that_ran_and_was_forgotten_is_not_sent_back_to_its_start() -> None:
    made = decide(seen(JobState.ABSENT), record(DeploymentState.SUBMITTING, running_at=None))
    assert made.submits == 0
    assert made.decision is Decision.RECORD


def test_a_stop_that_was_begun_is_brought_to_its_end() -> None:
    last = record(DeploymentState.STOPPING, outcome=Outcome.SUSPENDED_BY_HAND.value)
    assert decide(seen(), last).steps == (Stop("id1", Outcome.SUSPENDED_BY_HAND, CHECKPOINT),)
    ended = decide(seen(JobState.FINISHED, savepoint_path="file:/sp/9"), last)
    assert ended.steps == (RecordEnd(DeploymentState.SUSPENDED, Outcome.SUSPENDED_BY_HAND, "file:/sp/9"),)


def test_a_job_that_runs_as_described_without_a_record_is_adopted() -> None:
    assert decide(seen()).steps == (Adopt("id1"),)


def test_an_unrecorded_job_of_another_version_is_parked() -> None:
    assert decide(seen(fingerprint="cccccccc")).decision is Decision.PARK


def test_parked_stays_parked_until_a_person_decides() -> None:
    last = record(DeploymentState.PARKED, reason="no checkpoint")
    assert "no checkpoint" in decide(seen(), last).reason
    assert decide(seen(), last).decision is Decision.PARK
    assert decide(seen(), last, choice=Choice.RESUME).steps == (Confirm(),)


# -- what holds for every state ---------------------------------------------------------------------------------

observations = st.builds(
    ObservedJob,
    job=st.just("totals_v1"),
    state=st.sampled_from(JobState),
    flink_job_id=st.sampled_from(["id1", "id2"]),
    fingerprint=st.sampled_from(["aaaaaaaa", "bbbbbbbb"]),
    health=st.sampled_from(Health),
    figures=st.sampled_from([None, EMPTY, replace(EMPTY, checkpoint_id=3), replace(EMPTY, restored_path="file:/sp/0")]),
    duplicates=st.sampled_from([(), (LiveJob("id3", 1),)]),
    restore=st.sampled_from([None, CHECKPOINT, SAVEPOINT, RestorePoint("file:/sp/0", RestoreKind.INHERITED)]),
    savepoint_path=st.sampled_from([None, "file:/sp/1"]),
    restore_facts=st.none()
    | st.builds(
        RestoreFacts,
        exists=st.sampled_from([None, True, False]),
        age_hours=st.sampled_from([None, 1.0, 500.0]),
        events_lost=st.sampled_from([None, 0, 3]),
    ),
    cluster_lost=st.booleans(),
).map(lambda one: replace(one, flink_job_id=None) if one.state in (JobState.ABSENT, JobState.UNKNOWN) else one)

records = st.none() | st.builds(
    record,
    state=st.sampled_from(DeploymentState),
    fingerprint=st.sampled_from([NEW, OLD]),
    restore_path=st.sampled_from([None, "file:/sp/0"]),
    running_at=st.sampled_from([None, NOW]),
    outcome=st.none() | st.sampled_from(Outcome).map(str),
)

questions = st.builds(
    Question,
    spec=st.builds(job_spec, desired_state=st.sampled_from(DesiredState), upgrade_mode=st.sampled_from(UpgradeMode)),
    fingerprint=st.just(NEW),
    observed=observations,
    record=records,
    choice=st.sampled_from(Choice),
    compatibility=st.sampled_from(Compatibility),
    recent_heals=st.integers(0, 5),
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


# -- health -----------------------------------------------------------------------------------------------------

WELL = Figures(
    now_ms=1_000_000, running_since_ms=0, checkpoint_interval_ms=10_000, checkpoint_at_ms=990_000, recent_failures=0
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Health.HEALTHY),
        ({"recent_failures": 5}, Health.LOOPING),
        ({"recent_failures": 4}, Health.HEALTHY),
        ({"checkpoint_at_ms": 960_000}, Health.NO_CHECKPOINT),
        ({"checkpoint_at_ms": None}, Health.NO_CHECKPOINT),
        ({"checkpoint_at_ms": None, "running_since_ms": 990_000}, Health.HEALTHY),
        ({"checkpoint_interval_ms": 60_000, "checkpoint_at_ms": 900_000}, Health.HEALTHY),
    ],
)
def test_the_verdict_rests_on_figures(changes: dict[str, Any], expected: Health) -> None:
    verdict, reason = assess(JobState.RUNNING, replace(WELL, **changes))
    assert verdict is expected
    assert bool(reason) == (expected is not Health.HEALTHY)


def test_standing_still_takes_two_looks() -> None:
    before = replace(WELL, now_ms=WELL.now_ms - STALL_MS, records_read=100, lag_records=10)
    for now, expected in [
        (replace(before, lag_records=20), Health.STALLED),
        (replace(before, lag_records=10), Health.HEALTHY),
        (replace(before, lag_records=20, records_read=101), Health.HEALTHY),
        (replace(before, lag_records=None), Health.HEALTHY),
    ]:
        assert assess(JobState.RUNNING, replace(now, now_ms=WELL.now_ms), before)[0] is expected
    later = replace(before, now_ms=WELL.now_ms, lag_records=20)
    assert assess(JobState.RUNNING, later)[0] is Health.HEALTHY
    assert assess(JobState.RUNNING, replace(later, now_ms=later.now_ms - 1), before)[0] is Health.HEALTHY
    assert assess(JobState.RUNNING, replace(later, flink_job_id="other"), before)[0] is Health.HEALTHY
