"""The planner's table, one test a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gamestream_dagster.flink_jobs.plan.healing import HEAL_BUDGET
from gamestream_dagster.flink_jobs.plan.model import (
    Adopt,
    Cancel,
    Choice,
    Compatibility,
    Confirm,
    Decision,
    Preflight,
    RecordEnd,
    Resubmit,
    StartFrom,
    Stop,
    Submit,
)
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState, Outcome, Trigger
from gamestream_dagster.flink_jobs.record.observed import (
    Health,
    JobState,
    LiveJob,
    ObservedJob,
    RestoreFacts,
)
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState
from tests.support.fakes.job_questions import (
    CHECKPOINT,
    EMPTY,
    INHERITED,
    NOW,
    OLD,
    SAVEPOINT,
    decide,
    kinds,
    record,
    seen,
)


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
    assert made.choices == ("gamestream jobs apply totals_v1 --replay", "gamestream jobs apply totals_v1 --keep")


def test_a_replay_keeps_the_old_state_as_a_savepoint() -> None:
    made = decide(seen(), record(fingerprint=OLD), compatibility=Compatibility.INCOMPATIBLE, choice=Choice.REPLAY)
    assert kinds(made) == ["Preflight", "Stop", "Submit"]
    assert made.steps[-1] == Submit(StartFrom.EARLIEST, Trigger.HAND)
    assert made.steps[1] == Stop("id1", Outcome.UPGRADING, CHECKPOINT, dispensable=True)


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
    """The checkpoints that would be tried are in the plan, newest first: a newer one may complete before the stop."""
    made = decide(seen(health=health, older_restores=("file:/ck/1/chk-6",)), record())
    assert made.decision is Decision.HEAL
    assert made.steps[1:] == (
        Stop("id1", Outcome.UPGRADING, CHECKPOINT),
        Submit(StartFrom.STOPPED, Trigger.HEAL, older=(CHECKPOINT.path, "file:/ck/1/chk-6")),
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
    assert "the running version stays" not in made.reason  # nothing runs


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
