"""A job's state belongs to one incarnation of its topics: what is planned and shown when Kafka has another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gamestream_dagster.clients.topic_identity import TopicId, TopicState
from gamestream_dagster.flink_jobs.errors import ParkedError, RefusedError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import IncidentKind
from gamestream_dagster.flink_jobs.record.inputs import gone_events, inherited, kept_inputs, other_topics, stored_inputs
from gamestream_dagster.flink_jobs.record.observed import Health, JobState, OtherTopic
from gamestream_dagster.flink_jobs.spec.stream_outputs import StreamColumn, StreamOutput, StreamType
from tests.support.fakes.job_questions import decide, record, seen
from tests.support.fakes.job_world import World

FIRST, SECOND = TopicId("first"), TopicId("second")
OTHER = (OtherTopic("user-score", FIRST, SECOND),)
INPUTS = {"user-score": TopicState(FIRST, {0: 0, 1: 7})}


def test_inputs_come_back_as_they_were_stored() -> None:
    assert kept_inputs({"inputs": stored_inputs(INPUTS)}) == INPUTS
    assert kept_inputs({}) is None


def test_only_what_is_known_to_be_another_topic_is_one() -> None:
    assert other_topics(INPUTS, {"user-score": FIRST}) == ()
    assert other_topics(INPUTS, {"user-score": SECOND}) == OTHER
    assert other_topics(INPUTS, {}) == (OtherTopic("user-score", FIRST, None),)
    assert other_topics(INPUTS, {"user-score": None}) == ()  # a broker without topic ids
    assert other_topics(INPUTS, None) == ()  # Kafka gave no answer
    assert other_topics(None, {"user-score": SECOND}) == ()  # a record of an earlier version


def test_a_state_takes_its_topics_with_it_and_new_ones_begin_now() -> None:
    now = {"user-score": TopicState(SECOND, {}), "more": TopicState(TopicId("m"), {0: 3})}
    assert inherited(INPUTS, now) == {**INPUTS, "more": TopicState(TopicId("m"), {0: 3})}
    assert inherited(None, now) is None
    assert gone_events(INPUTS) == "user-score p1@0..6"
    assert gone_events(None) == ""


@pytest.mark.parametrize("choice", [Choice.NONE, Choice.HEAL, Choice.RESUME, Choice.REDEPLOY, Choice.KEEP])
@pytest.mark.parametrize(
    ("observed", "recorded"),
    [
        (seen(health=Health.TOPIC_RECREATED), record()),
        (seen(JobState.ABSENT), record()),
        (seen(JobState.ABSENT), record(DeploymentState.SUSPENDED, outcome="SUSPENDED_BY_HAND")),
        (seen(JobState.ABSENT), record(DeploymentState.SUSPENDED, outcome="STACK_DOWN")),
        (seen(JobState.ABSENT), record(DeploymentState.PARKED)),
        (seen(JobState.ABSENT), record(DeploymentState.CANCELED)),
        (seen(JobState.ABSENT, restore=None), record(DeploymentState.SUBMITTING, restore_path="file:/sp/1")),
    ],
)
def test_nothing_goes_on_from_a_state_of_another_topic(choice: Choice, observed: Any, recorded: Any) -> None:
    made = decide(replace(observed, other_topics=OTHER), recorded, choice=choice)
    assert made.decision is Decision.PARK
    assert "has read first, Kafka has second" in made.reason
    assert made.choices == ("gamestream jobs apply totals_v1 --replay",)


@pytest.mark.parametrize("observed", [seen(health=Health.TOPIC_RECREATED), seen(JobState.ABSENT)])
def test_the_command_that_decides_is_taken(observed: Any) -> None:
    made = decide(replace(observed, other_topics=OTHER), record(), choice=Choice.REPLAY)
    assert made.decision is Decision.DEPLOY
    state = record(DeploymentState.SUBMITTING, restore_path="file:/sp/1")
    made = decide(seen(JobState.ABSENT, restore=None, other_topics=OTHER), state, choice=Choice.REPLAY)
    assert made.decision is Decision.DEPLOY


def test_a_topic_that_is_gone_is_created_first() -> None:
    gone = (OtherTopic("user-score", FIRST, None),)
    made = decide(seen(health=Health.TOPIC_RECREATED, other_topics=gone), record())
    assert made.decision is Decision.PARK
    assert "was deleted" in made.reason
    assert "`gamestream apply`" in made.reason


def test_it_can_still_be_stopped() -> None:
    for choice in (Choice.SUSPEND, Choice.STACK_DOWN):
        made = decide(seen(health=Health.TOPIC_RECREATED, other_topics=OTHER), record(), choice=choice)
        assert made.decision is Decision.SUSPEND


def test_a_replay_tells_what_it_cannot_read() -> None:
    made = decide(seen(), record(), choice=Choice.REPLAY, gone="user-score p1@0..6")
    assert "WARNING: user-score p1@0..6 are no longer in Kafka" in made.reason
    assert "WARNING" not in decide(seen(), record(), choice=Choice.REPLAY).reason


def test_a_replay_tells_which_topics_get_every_event_once_more() -> None:
    stream = StreamOutput(
        name="scores",
        topic="user-score",
        description="Scores.",
        key="user_id",
        columns={"user_id": StreamColumn(type=StreamType.STRING, description="The player.")},
    )
    made = decide(seen(), record(), choice=Choice.REPLAY, spec={"streams": (stream,)})
    assert "WARNING: every event is appended to user-score once more" in made.reason


def test_a_job_whose_topic_was_recreated_under_it_is_not_healthy_and_is_parked() -> None:
    world = World()
    first = world.apply()
    assert first.inputs == {"user-score": TopicState(FIRST, {0: 0, 1: 0})}
    world.recreate()
    observed, _ = world.bench().look()
    assert observed.health is Health.TOPIC_RECREATED
    assert "first, Kafka has second" in observed.health_reason
    noted = world.look()
    assert noted.incident is not None
    assert noted.incident.kind is IncidentKind.TOPIC_RECREATED
    with pytest.raises(ParkedError, match="--replay"):
        world.apply()
    again = world.apply(Choice.REPLAY)
    assert again.restore_path is None
    assert again.inputs == {"user-score": TopicState(SECOND, {0: 0, 1: 0})}
    assert world.bench().look()[0].health is Health.HEALTHY
    assert [one["user-score"].topic_id for one in world.begun] == [FIRST, SECOND]
    assert "totals_v1: deleted 3 rows that earlier runs had written to its boards" in world.said


def test_a_restored_job_inherits_the_topic_of_its_state() -> None:
    world = World()
    world.apply()
    world.apply(Choice.SUSPEND)
    resumed = world.apply(Choice.RESUME)
    assert resumed.restore_path is not None
    assert resumed.inputs == {"user-score": TopicState(FIRST, {0: 0, 1: 0})}
    assert len(world.begun) == 1, "boards are emptied only before a start from nothing"
    world.apply(Choice.SUSPEND)
    world.recreate()
    with pytest.raises(ParkedError, match="first, Kafka has second"):
        world.apply(Choice.RESUME)


def test_a_rollback_does_not_go_back_to_another_topic() -> None:
    world = World()
    world.apply(fingerprint="a" * 64)
    world.recreate()
    world.apply(Choice.REPLAY, fingerprint="b" * 64)
    with pytest.raises(RefusedError, match=r"cannot roll back to generation 1.*first, Kafka has second"):
        world.apply(Choice.ROLLBACK, fingerprint="b" * 64)


def test_without_an_answer_or_a_record_nothing_is_concluded() -> None:
    world = World()
    world.apply()
    world.ids = None
    assert world.bench().look()[0].health is Health.HEALTHY
    world.store.rows[-1] = replace(world.store.rows[-1], spec={"trigger": "FIRST"})
    world.recreate()
    assert world.bench().look()[0].health is Health.HEALTHY
