"""What the health sensor and the drill do with one job: record what they find, and plan only for a job that is ill."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.control.looking import UNFINISHED_SECONDS, Look, look_and_plan
from gamestream_dagster.flink_jobs.plan.model import Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import NOTHING_NOTED
from gamestream_dagster.flink_jobs.record.observed import JobState
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState
from tests.support.fakes.job_world import World


@pytest.fixture
def world() -> World:
    made = World()
    made.apply()
    return made


def look(world: World, **spec: object) -> Look:
    return look_and_plan(world.bench(**spec))


def decided(found: Look) -> Decision | None:
    return found.plan.decision if found.plan else None


def test_a_healthy_job_is_observed_and_not_planned_for(world: World) -> None:
    linted = world.linted
    found = look(world)
    assert (found.observed.state, found.plan, found.record) == (JobState.RUNNING, None, world.store.rows[-1])
    assert world.linted == linted  # no plan was made


def test_a_failed_job_has_an_incident_and_a_plan_and_stays_as_it_is(world: World) -> None:
    world.only.state = FlinkState.FAILED
    submitted = len(world.submitter.submitted)
    found = look(world)
    assert decided(found) is Decision.RECORD
    assert found.noted.incident == world.incidents.all[0]
    assert (len(world.submitter.submitted), len(world.store.rows)) == (submitted, 1)


def test_a_job_that_cannot_be_healed_raises_its_alert(world: World) -> None:
    world.flink.all.clear()  # no state is left in this world
    found = look(world)
    assert decided(found) is Decision.PARK
    assert found.plan
    assert world.alerts.standing["totals_v1"] == f"totals_v1: {found.plan.reason}"


def test_without_an_answer_nothing_is_recorded_or_planned(world: World) -> None:
    world.flink.silent = True
    found = look(world)
    assert (found.observed.state, found.noted, found.plan) == (JobState.UNKNOWN, NOTHING_NOTED, None)
    assert (world.incidents.all, world.alerts.standing) == ([], {})


def test_a_job_that_was_never_deployed_is_left_to_an_operator() -> None:
    found = look(World())
    assert (found.record, found.plan) == (None, None)


def test_a_suspended_job_is_as_desired(world: World) -> None:
    world.apply(desired_state=DesiredState.SUSPENDED)
    assert look(world, desired_state=DesiredState.SUSPENDED).plan is None


@pytest.mark.parametrize(("busy", "decision"), [(False, Decision.FINISH), (True, None)])
def test_a_stop_whose_executor_died_is_finished(world: World, busy: bool, decision: Decision | None) -> None:
    world.store.rows[-1] = replace(world.store.rows[-1], state=DeploymentState.STOPPING)
    world.store.busy = busy
    assert decided(look(world)) is decision


@pytest.mark.parametrize(("age", "decision"), [(1, Decision.FINISH), (-30, None)])
def test_a_submission_is_finished_when_its_executor_had_its_time(world: World, age: int, decision: Decision) -> None:
    submitted = world.store.clock - timedelta(seconds=UNFINISHED_SECONDS + age)
    world.store.rows[-1] = replace(world.store.rows[-1], state=DeploymentState.SUBMITTING, submitted_at=submitted)
    assert decided(look(world)) is decision
