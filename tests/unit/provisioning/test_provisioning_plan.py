"""Plan and apply: what no answer means, what a failing step does to the others, and exit codes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from gamestream_dagster.catalogue.topics import Topic
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.kafka_admin import TopicDescription
from gamestream_dagster.flink_jobs.plan.planner import Decision
from gamestream_dagster.flink_jobs.plan.planner import Plan as JobPlan
from gamestream_dagster.provisioning.errors import ProvisioningError
from gamestream_dagster.provisioning.jobs import job_status
from gamestream_dagster.provisioning.manager import apply_steps, ensure, observe_all
from gamestream_dagster.provisioning.model import (
    Outcome,
    ResourceKind,
    ResourceState,
    ResourceStatus,
    make_plan,
)
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.provisioning.subjects import SubjectProvider
from gamestream_dagster.provisioning.topics import TopicProvider
from tests.support.fakes.provisioned import FakeKafkaAdmin, FakeRegistry

NO_ANSWER = TransientServiceError("Kafka", "no answer", "start it")
SUBJECTS = tuple(load_subjects())
REFUSED = TerminalServiceError("Kafka", "not allowed", "grant the right")


def specs(*names: str) -> dict[str, Topic]:
    return {
        name: Topic(name=name, partitions=2, config={}, key="k", description="d", owner="team:games") for name in names
    }


def providers(admin: FakeKafkaAdmin, *names: str):
    return {
        ResourceKind.TOPIC: TopicProvider(specs(*names), admin),
        ResourceKind.SUBJECT: SubjectProvider(load_subjects(), FakeRegistry()),
    }


class CountingJobs:
    """A job provider whose job always waits to be deployed."""

    kind = ResourceKind.JOB

    def __init__(self) -> None:
        self.deployed: list[str] = []

    def names(self) -> list[str]:
        return ["boards_v1"]

    def observe(self, names):
        state = ResourceState.PRESENT if self.deployed else ResourceState.MISSING
        return [ResourceStatus(self.kind, name, state, change="" if self.deployed else "deploy") for name in names]

    def create(self, name: str) -> None:
        self.deployed.append(name)

    def holdings(self, name: str) -> str | None:
        return None

    def delete(self, name: str) -> None:
        raise AssertionError(name)


def test_no_answer_is_unknown_and_not_missing_and_leaves_the_other_kinds_alone():
    plan = make_plan(observe_all(providers(FakeKafkaAdmin(down=NO_ANSWER), "a", "b")))
    states = {status.name: status.state for status in plan.statuses}
    assert states == {
        "a": ResourceState.UNKNOWN,
        "b": ResourceState.UNKNOWN,
    } | dict.fromkeys(SUBJECTS, ResourceState.MISSING)
    assert plan.statuses[0].details == (str(NO_ANSWER),)
    assert [step.name for step in plan.steps] == list(SUBJECTS)
    assert plan.exit_code == 2


def test_second_apply_does_nothing():
    admin = FakeKafkaAdmin()
    open_ = providers(admin, "a", "b")
    first = apply_steps(open_, make_plan(observe_all(open_)))
    assert {result.outcome for result in first} == {Outcome.DONE}
    again = make_plan(observe_all(open_))
    assert (again.steps, again.exit_code) == ((), 0)
    assert apply_steps(open_, again) == []
    assert admin.created == ["a", "b"]


def test_stale_plan_creates_only_what_is_still_missing():
    admin = FakeKafkaAdmin()
    open_ = providers(admin, "a")
    plan = make_plan(observe_all(open_))
    admin.topics["a"] = TopicDescription("a", 7, 1, {}, ())
    topic = apply_steps(open_, plan)[0]
    assert (topic.outcome, topic.status.state) == (Outcome.NOTHING_TO_DO, ResourceState.DRIFTED)
    assert admin.topics["a"].partitions == 7


def test_creation_that_another_run_won_is_not_a_failure():
    status = ensure(TopicProvider(specs("a"), FakeKafkaAdmin(racing=["a"])), "a")
    assert (status.state, status.created) == (ResourceState.PRESENT, False)


def test_failed_step_is_told_the_others_go_on_and_jobs_wait():
    jobs = CountingJobs()
    open_ = {**providers(FakeKafkaAdmin(refuses=REFUSED), "a"), ResourceKind.JOB: jobs}
    results = apply_steps(open_, make_plan(observe_all(open_)))
    assert [result.outcome for result in results] == [Outcome.FAILED, *(Outcome.DONE for _ in SUBJECTS), Outcome.FAILED]
    assert results[0].error == str(REFUSED)
    assert "topic a failed" in results[-1].error
    assert jobs.deployed == []


def test_jobs_come_last_and_are_deployed_when_all_stands():
    jobs = CountingJobs()
    open_ = {ResourceKind.JOB: jobs, **providers(FakeKafkaAdmin(), "a")}
    plan = make_plan(observe_all(open_))
    assert [step.kind for step in plan.steps] == [
        ResourceKind.TOPIC,
        *(ResourceKind.SUBJECT for _ in SUBJECTS),
        ResourceKind.JOB,
    ]
    apply_steps(open_, plan)
    assert jobs.deployed == ["boards_v1"]


def test_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ProvisioningError, match=r"no topic 'x' in the catalogue; choose one of a, b\."):
        ensure(TopicProvider(specs("a", "b"), FakeKafkaAdmin()), "x")


def test_plan_is_a_value_and_never_changes_what_drifted():
    drifted = ResourceStatus(ResourceKind.TABLE, "t", ResourceState.DRIFTED, ("x",), change="alter it")
    plan = make_plan([drifted])
    assert (plan.steps, plan.exit_code) == ((), 1)
    with pytest.raises(FrozenInstanceError):
        plan.statuses = ()  # type: ignore[misc]


def test_question_before_deleting_counts_the_records():
    admin = FakeKafkaAdmin([TopicDescription("a", 2, 1, {}, ())])
    provider = TopicProvider(specs("a", "b"), admin)
    assert provider.holdings("a") == "3,000 records in 2 partitions"
    assert provider.holdings("b") is None


@pytest.mark.parametrize(
    ("decision", "state", "acts"),
    [
        (Decision.NOTHING, ResourceState.PRESENT, False),
        (Decision.WAIT, ResourceState.UNKNOWN, False),
        (Decision.PARK, ResourceState.DRIFTED, False),
        (Decision.DEPLOY, ResourceState.MISSING, True),
        (Decision.RESTORE, ResourceState.MISSING, True),
        (Decision.UPGRADE, ResourceState.DRIFTED, True),
        (Decision.HEAL, ResourceState.DRIFTED, True),
        (Decision.SUSPEND, ResourceState.DRIFTED, True),
    ],
)
def test_job_plan_becomes_a_status(decision: Decision, state: ResourceState, acts: bool):
    status = job_status(JobPlan("boards_v1", decision, "why", "f" * 64, choices=("gamestream jobs resume boards_v1",)))
    assert status.state is state
    assert bool(make_plan([status]).steps) is acts
    assert "why" in status.change + "".join(status.details)
