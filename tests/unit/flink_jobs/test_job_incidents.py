"""What is written down about a job that was not well: when it began, when it was seen, when it was back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.errors import ParkedError, RedeployContractError
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.incidents import Incident, IncidentKind, Moment, trouble
from gamestream_dagster.flink_jobs.record.observed import Figures, Health, JobState
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState
from tests.support.fakes.flink import NOW_MS
from tests.support.fakes.job_questions import record, seen
from tests.support.fakes.job_world import World


@pytest.fixture
def world() -> World:
    made = World()
    made.apply()
    return made


def moments(incident: Incident) -> list[Moment]:
    return [entry.moment for entry in incident.timeline]


def only(world: World) -> Incident:
    (incident,) = world.incidents.all
    return incident


def test_a_healthy_job_has_no_incident(world: World) -> None:
    world.look()
    world.apply()
    assert world.incidents.all == []


def test_a_failed_job_has_one_incident_from_seen_to_healthy(world: World) -> None:
    world.only.state = FlinkState.FAILED
    for _ in range(3):  # the sensor looks again and again
        world.look()
    assert only(world).kind is IncidentKind.FAILED
    assert moments(only(world)) == [Moment.SEEN]
    world.apply(Choice.HEAL)
    incident = only(world)
    assert moments(incident) == [
        Moment.SEEN,
        Moment.PLANNED,  # the end is recorded
        Moment.PLANNED,
        Moment.SUBMITTED,
        Moment.RUNNING,
        Moment.CHECKPOINT,
        Moment.HEALTHY,
    ]
    assert (incident.attempt, incident.outcome) == (1, Moment.HEALTHY)
    seconds = [entry.seconds for entry in incident.timeline]
    assert seconds == sorted(seconds)
    assert incident.seen_seconds is not None
    assert incident.back_seconds is not None
    assert incident.seen_seconds < incident.back_seconds
    assert "restored from file:/ck/" in incident.timeline[4].text


def test_the_second_failure_is_another_incident(world: World) -> None:
    for _ in range(2):
        world.only.state = FlinkState.FAILED
        world.look()
        world.apply(Choice.HEAL)
    assert [incident.outcome for incident in world.incidents.all] == [Moment.HEALTHY] * 2


def test_a_person_who_applies_before_anybody_looked_has_seen_it(world: World) -> None:
    world.flink.all.clear()
    with pytest.raises(ParkedError):  # no state is left in this world
        world.apply()
    assert (only(world).kind, only(world).outcome) == (IncidentKind.GONE, Moment.PARKED)


def test_a_parked_job_gets_no_incident_at_each_look(world: World) -> None:
    world.flink.all.clear()
    for _ in range(3):
        world.look()
        with pytest.raises(ParkedError):
            world.apply(Choice.HEAL)
    assert only(world).outcome is Moment.PARKED


def test_a_contract_that_is_broken_ends_the_incident_parked(world: World) -> None:
    world.only.state = FlinkState.FAILED
    world.look()
    world.submitter.restores = "file:/sp/other"
    with pytest.raises(RedeployContractError):
        world.apply(Choice.HEAL)
    assert only(world).outcome is Moment.PARKED
    assert "file:/sp/other" in only(world).timeline[-1].text


def test_while_an_executor_works_nothing_is_an_incident(world: World) -> None:
    world.only.state = FlinkState.FAILED
    world.store.busy = True
    world.look()
    assert world.incidents.all == []


def test_no_answer_and_a_persons_cancel_are_no_incidents(world: World) -> None:
    world.flink.silent = True
    world.look()
    world.flink.silent = False
    world.only.state = FlinkState.CANCELED
    world.look()
    assert world.incidents.all == []


def test_a_recovery_by_flink_itself_is_written_down_also_when_it_was_over_before_the_look(world: World) -> None:
    world.store.clock += timedelta(minutes=5)  # the failure, 10 s ago, came after the deployment
    world.only.failures = 1
    world.look()
    incident = only(world)
    assert (incident.kind, incident.outcome) == (IncidentKind.RESTARTING, Moment.HEALTHY)
    assert moments(incident) == [Moment.SEEN, Moment.CHECKPOINT, Moment.HEALTHY]
    assert incident.seen_seconds == pytest.approx(10, abs=3)
    world.look()  # the same failure is not told twice
    assert len(world.incidents.all) == 1


# -- what counts as trouble ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("health", "kind"),
    [
        (Health.LOOPING, IncidentKind.LOOPING),
        (Health.NO_CHECKPOINT, IncidentKind.NO_CHECKPOINT),
        (Health.STALLED, IncidentKind.STALLED),
        (Health.RECOVERING, IncidentKind.RESTARTING),
        (Health.HEALTHY, None),
        (Health.STARTING, None),
    ],
)
def test_the_kind_follows_from_the_verdict(health: Health, kind: IncidentKind | None) -> None:
    found = trouble(seen(health=health), record(), DesiredState.RUNNING)
    assert (found.kind if found else None) == kind


def test_trouble_begins_with_the_failure_and_not_with_the_look() -> None:
    figures = Figures(now_ms=NOW_MS, last_failure_ms=NOW_MS - 42_000, checkpoint_at_ms=NOW_MS - 70_000)
    failed = trouble(seen(JobState.FAILED, figures=figures), record(), DesiredState.RUNNING)
    assert failed is not None
    assert failed.age_seconds == 42
    starved = trouble(seen(health=Health.NO_CHECKPOINT, figures=figures), record(), DesiredState.RUNNING)
    assert starved is not None
    assert starved.age_seconds == 70


def test_a_job_that_should_not_run_is_in_no_trouble() -> None:
    assert trouble(seen(JobState.FAILED), record(), DesiredState.SUSPENDED) is None
    assert trouble(seen(JobState.ABSENT), None, DesiredState.RUNNING) is None
