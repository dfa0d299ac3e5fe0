"""A proof stops jobs and goes on with them; when it is killed, whoever looks next does; a person's word stands."""

from __future__ import annotations

import pytest

from gamestream_dagster.flink_jobs.errors import RefusedError, TransientFlinkJobError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState, Outcome
from tests.support.fakes.job_world import World


@pytest.fixture
def world() -> World:
    found = World()
    found.apply()
    return found


def test_a_job_that_a_killed_proof_stopped_goes_on_from_its_savepoint(world: World) -> None:
    stopped = world.apply(Choice.STANDSTILL)
    assert (stopped.state, stopped.outcome, stopped.stands_still) == (
        DeploymentState.SUSPENDED,
        Outcome.STANDSTILL,
        True,
    )
    for choice in (Choice.HEAL, Choice.NONE, Choice.RESUME):
        made = world.plan(choice)
        assert made.decision is Decision.RESTORE
    assert "it was stopped for a proof, which has ended" in world.plan(Choice.HEAL).reason
    back = world.apply(Choice.HEAL)
    assert (back.generation, back.restore_path, back.trigger) == (2, stopped.savepoint_path, "CLUSTER")


def test_as_long_as_the_proof_is_at_work_nobody_goes_on_with_its_jobs(world: World) -> None:
    world.apply(Choice.STANDSTILL)
    world.store.proof = True
    for choice in (Choice.HEAL, Choice.NONE):
        assert world.plan(choice).decision is Decision.WAIT
        with pytest.raises(TransientFlinkJobError, match="it stands still for a proof"):
            world.apply(choice)
    assert world.plan(Choice.RESUME).decision is Decision.RESTORE, "a person may"
    assert world.plan(Choice.STACK_DOWN).decision is Decision.NOTHING


@pytest.mark.parametrize("at_work", [True, False])
def test_what_a_person_suspends_while_it_stands_still_stays_so(world: World, at_work: bool) -> None:
    path = world.apply(Choice.STANDSTILL).savepoint_path
    world.store.proof = at_work
    suspended = world.apply(Choice.SUSPEND)
    assert (suspended.outcome, suspended.savepoint_path) == (Outcome.SUSPENDED_BY_HAND, path)
    world.store.proof = False
    assert world.apply(Choice.HEAL).outcome == Outcome.SUSPENDED_BY_HAND
    assert world.flink.live == []


def test_a_proof_stops_no_job_that_does_not_run_well(world: World) -> None:
    world.apply(Choice.SUSPEND)
    with pytest.raises(RefusedError, match="it cannot be stopped for a proof"):
        world.apply(Choice.STANDSTILL)
    assert world.store.rows[-1].outcome == Outcome.SUSPENDED_BY_HAND
    world.apply(Choice.RESUME)
    world.store.save(world.store.rows[-1], state=DeploymentState.PARKED, reason="it looped")
    with pytest.raises(RefusedError, match="it looped"):
        world.apply(Choice.STANDSTILL)


def test_a_stop_that_was_begun_for_a_proof_is_finished_and_the_job_goes_on(world: World) -> None:
    record = world.store.rows[-1]
    world.store.save(record, state=DeploymentState.STOPPING, outcome=Outcome.STANDSTILL.value)
    back = world.apply(Choice.HEAL)
    assert (back.state, back.generation) == (DeploymentState.RUNNING, 2)


def test_many_proofs_do_not_use_up_the_redeploys(world: World) -> None:
    for generation in range(2, 8):
        world.apply(Choice.STANDSTILL)
        assert world.apply(Choice.HEAL).generation == generation
