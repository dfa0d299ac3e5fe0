"""The jobs go down and come up with the stack: stopped with a savepoint, gone on from it; a person's word stands."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError
from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.control import stack_lifecycle as with_the_stack
from gamestream_dagster.flink_jobs.errors import ParkedError, TerminalFlinkJobError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState, Outcome
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState, UpgradeMode
from gamestream_dagster.settings import load_settings
from tests.support.fakes.job_world import World


@pytest.fixture
def world() -> World:
    return World()


def new_cluster(world: World) -> None:
    """The session cluster forgets every job when it ends."""
    world.flink.all.clear()


def test_a_running_job_is_stopped_in_a_state_of_its_own_and_goes_on_from_the_savepoint(world: World) -> None:
    world.apply()
    down = world.apply(Choice.STACK_DOWN)
    assert (down.state, down.outcome, down.paused) == (DeploymentState.SUSPENDED, Outcome.STACK_DOWN, True)
    assert world.flink.live == []
    new_cluster(world)
    made = world.plan(Choice.HEAL)
    assert (made.decision, "the stack went down" in made.reason) == (Decision.RESTORE, True)
    up = world.apply(Choice.HEAL)
    assert (up.generation, up.restore_path, up.trigger) == (2, down.savepoint_path, "CLUSTER")
    assert world.plan().decision is Decision.NOTHING


def test_a_job_that_comes_up_with_the_stack_every_few_minutes_is_not_parked(world: World) -> None:
    world.apply()
    for generation in range(2, 8):
        world.apply(Choice.STACK_DOWN)
        new_cluster(world)
        assert world.apply(Choice.HEAL).generation == generation


def test_what_a_person_suspended_stays_so_over_a_restart_of_the_stack(world: World) -> None:
    world.apply()
    world.apply(Choice.SUSPEND)
    assert world.apply(Choice.STACK_DOWN).outcome == Outcome.SUSPENDED_BY_HAND
    new_cluster(world)
    assert world.apply(Choice.HEAL).outcome == Outcome.SUSPENDED_BY_HAND
    assert world.flink.live == []


def test_a_person_may_suspend_what_went_down_with_the_stack(world: World) -> None:
    world.apply()
    path = world.apply(Choice.STACK_DOWN).savepoint_path
    suspended = world.apply(Choice.SUSPEND)
    assert (suspended.outcome, suspended.savepoint_path) == (Outcome.SUSPENDED_BY_HAND, path)
    assert world.plan(Choice.HEAL).decision is Decision.NOTHING


def test_what_a_person_cancelled_in_flink_just_before_is_recorded_as_that(world: World) -> None:
    world.apply()
    world.only.state = FlinkState.CANCELED
    assert world.apply(Choice.STACK_DOWN).state is DeploymentState.CANCELED
    new_cluster(world)
    assert world.plan(Choice.HEAL).decision is Decision.NOTHING


def test_a_job_that_runs_while_it_is_parked_is_stopped_with_its_state_and_stays_parked(world: World) -> None:
    record = world.apply()
    world.store.save(record, state=DeploymentState.PARKED, outcome=Outcome.CONTRACT_BROKEN.value, reason="no good")
    down = world.apply(Choice.STACK_DOWN)
    assert (down.state, down.reason) == (DeploymentState.PARKED, "no good")
    assert down.savepoint_path
    new_cluster(world)
    with pytest.raises(ParkedError, match="no good"):
        world.apply(Choice.HEAL)
    assert world.apply(Choice.RESUME).restore_path == down.savepoint_path


def test_a_job_that_job_yaml_wants_suspended_is_not_brought_back(world: World) -> None:
    world.apply()
    down = world.apply(Choice.STACK_DOWN, desired_state=DesiredState.SUSPENDED)
    assert down.outcome == Outcome.SUSPENDED_BY_SPEC
    assert world.plan(Choice.HEAL, desired_state=DesiredState.SUSPENDED).decision is Decision.NOTHING


def test_a_job_that_can_make_no_savepoint_is_left_to_the_end_of_its_cluster_and_says_so() -> None:
    world = World(no_savepoints=True)
    world.apply()
    with pytest.raises(TerminalFlinkJobError, match="disk full"):
        world.apply(Choice.STACK_DOWN)
    record = world.store.last("totals_v1")
    assert record is not None
    assert record.state is DeploymentState.RUNNING


def test_a_change_of_the_folder_waits_for_the_next_apply(world: World) -> None:
    world.apply()
    down = world.apply(Choice.STACK_DOWN, fingerprint="e" * 64)
    assert (down.generation, down.paused) == (1, True)


def test_an_intent_that_never_reached_flink_is_not_submitted_while_the_stack_goes_down(world: World) -> None:
    record = world.apply()
    world.store.save(record, state=DeploymentState.SUBMITTING)
    new_cluster(world)
    assert plan(world.bench().question(Choice.STACK_DOWN)).decision is Decision.NOTHING
    assert world.flink.live == []


def test_a_job_without_state_is_cancelled_and_started_again(world: World) -> None:
    world.apply(upgrade_mode=UpgradeMode.STATELESS)
    assert world.apply(Choice.STACK_DOWN, upgrade_mode=UpgradeMode.STATELESS).paused
    new_cluster(world)
    assert world.apply(Choice.HEAL, upgrade_mode=UpgradeMode.STATELESS).restore_path is None


class Records:
    """A store whose answer about each job is a record, or an error."""

    def __init__(self, answer: Exception) -> None:
        self.answer = answer

    def last(self, job: str) -> None:
        raise self.answer


@pytest.mark.parametrize(
    ("answer", "resumed"),
    [
        (NotFoundError("Postgres", "the table deployments does not exist", "create it"), []),
        (TerminalServiceError("Postgres", "the record cannot be read", "delete it"), list(load_jobs())),
    ],
)
def test_a_job_whose_record_cannot_be_read_is_not_passed_over_in_silence(
    monkeypatch: pytest.MonkeyPatch, answer: Exception, resumed: list[str]
) -> None:
    monkeypatch.setattr(with_the_stack, "open_engine", lambda _: nullcontext())
    monkeypatch.setattr(with_the_stack, "PostgresDeploymentStore", lambda _: Records(answer))
    assert with_the_stack.jobs_to_resume(load_settings(), lost=False) == resumed
