"""Proofs under bad luck: before the first event, killed at any step, two at once, and with fast clocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import orjson
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Producer, TopicPartition
from sqlalchemy import text

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.components.flink_job_sensor import tick
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.control.stack_lifecycle import jobs_to_resume
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.record.observed import Health
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager as provisioning
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.resources.flink_jobs import FlinkJobs
from gamestream_dagster.settings import PROJECT_ROOT, Settings
from tests.support.cli import gamestream
from tests.support.world import World, board_jobs

WORLD = "both jobs and no event but those of this file"
TOPIC = "user-score"
TYPE = "message.timestamp.type"
ALL_STOPPED = "all jobs are stopped"
pytestmark = pytest.mark.timeout(600)


def with_jobs(settings: Settings) -> Settings:
    """Topics, tables and jobs, and not a single event."""
    provisioning.apply(settings, provisioning.plan(settings))
    return settings


@pytest.fixture
def fresh(world: World) -> Settings:
    """Both jobs run, and read what the tests of this file have sent; anew where one of them left traces."""
    return world.hold(WORLD, with_jobs)


@pytest.fixture
def without_an_event(world: World) -> Settings:
    """Both jobs run, on a topic that nobody has written to."""
    if any(KafkaAdmin(world.hold(WORLD, with_jobs).kafka).end_offsets(TOPIC).values()):
        world.spoil()
    return world.hold(WORLD, with_jobs)


def last(settings: Settings, job: str) -> Deployment:
    return jobs.history(settings, job, 1)[0]


def states(settings: Settings) -> set[DeploymentState]:
    return {last(settings, job).state for job in board_jobs()}


def send(settings: Settings, ahead_seconds: float = 0.0, events: int = 1) -> None:
    """Events of one player for each partition; event and record time lie that far ahead."""
    producer = Producer(settings.kafka.options())
    for number in range(events):
        millis = int((time.time() + ahead_seconds) * 1000)
        for partition in range(4):
            value = {"user_id": f"p{partition}", "team_id": "t", "team_name": "T", "score": 5 + number % 7}
            value |= {"event_time_millis": millis, "event_id": f"{partition}-{millis}-{number}-{ahead_seconds}"}
            producer.produce(TOPIC, orjson.dumps(value), f"p{partition}", partition=partition, timestamp=millis)
    assert producer.flush(20) == 0


def send_until_producers_stamp(settings: Settings) -> None:
    """The broker's log takes a new setting some time after its metadata: until then it stamps records itself."""
    consumer = Consumer(settings.kafka.options({"group.id": "stamps", "enable.auto.commit": False}))
    partitions = [TopicPartition(TOPIC, number) for number in range(4)]
    deadline = time.monotonic() + 60
    try:
        while True:
            ends = [consumer.get_watermark_offsets(one, timeout=20)[1] for one in partitions]
            consumer.assign([TopicPartition(TOPIC, number, end) for number, end in enumerate(ends)])
            send(settings)
            stamps = [record.timestamp() for record in consumer.consume(4, timeout=20)]
            if len(stamps) == 4 and all(kind == TIMESTAMP_CREATE_TIME for kind, _ in stamps):
                return
            assert time.monotonic() < deadline, stamps
    finally:
        consumer.close()


def kill_proof_at(settings: Settings, step: str) -> None:
    command = [sys.executable, "-m", "tests.support.killed_proof", str(settings.home), str(settings.port_base), step]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=PROJECT_ROOT)
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr


def sensor_heals(settings: Settings) -> list[str]:
    """What the health sensor asks runs for, carried out as those runs do."""
    found = tick(board_jobs(), FlinkJobs(settings), lambda incident: (), None)
    asked = [request.tags["gamestream/job"] for request in found.run_requests or ()]
    for job in asked:
        jobs.apply_job(settings, job, Choice.HEAL)
    return asked


def test_a_stack_without_an_event_gets_an_answer(without_an_event: Settings) -> None:
    """librdkafka's own call ends the process with SIGSEGV here: no group has a coordinator yet. Hence a process."""
    command = [str(Path(sys.executable).with_name("gamestream")), "reconcile", "--home", str(without_an_event.home)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "MATCH" in ended.stdout + ended.stderr
    stopped = gamestream(without_an_event, "reconcile", "--mode", "savepoint")
    assert stopped.returncode == 0, stopped.words
    assert "MATCH" in stopped.words


def test_offsets_of_a_group_are_asked_for_with_a_limit_with_and_without_a_broker(fresh: Settings) -> None:
    admin = KafkaAdmin(fresh.kafka, timeout_seconds=5)
    assert admin.committed("nobody-ever", TOPIC) == {}
    assert admin.committed("nobody-ever", "no-such-topic") == {}
    Stack(fresh).stop("kafka")
    began = time.monotonic()
    with pytest.raises(TransientServiceError, match="no answer from"):
        admin.committed("nobody-ever", TOPIC)
    assert time.monotonic() - began < 12
    ask = (
        "import sys; from gamestream_dagster.clients.kafka_admin import KafkaAdmin;"
        "from gamestream_dagster.connections import KafkaConnection;"
        "print(KafkaAdmin(KafkaConnection(sys.argv[1]), 60).committed('after-the-restart', 'user-score'))"
    )
    waiting = subprocess.Popen([sys.executable, "-c", ask, fresh.kafka.bootstrap], stdout=subprocess.PIPE, text=True)
    Stack(fresh).up(("kafka",))
    said, _ = waiting.communicate(timeout=120)
    assert (waiting.returncode, said.strip()) == (0, "{}")


def test_a_forked_process_opens_a_client_of_its_own(fresh: Settings) -> None:
    admin = KafkaAdmin(fresh.kafka, timeout_seconds=5)
    assert TOPIC in admin.topics()
    child = os.fork()
    if child == 0:
        os._exit(0 if TOPIC in admin.topics() else 1)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < deadline, os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    assert ended[1] == 0


@pytest.mark.parametrize(
    "step", ["the first stop is recorded as begun", "Flink has stopped the first job", ALL_STOPPED]
)
def test_the_health_sensor_goes_on_with_the_jobs_of_a_killed_proof(fresh: Settings, step: str) -> None:
    send(fresh)
    kill_proof_at(fresh, step)
    first, *_ = names = list(board_jobs())
    assert last(fresh, first).stands_still
    assert sensor_heals(fresh) == (names if step == ALL_STOPPED else [first])
    assert states(fresh) == {DeploymentState.RUNNING}
    assert last(fresh, first).restore_path
    assert reconcile(fresh, "drained").verdict is Verdict.MATCH


def test_a_proof_goes_on_with_the_jobs_of_a_killed_one_and_so_does_up(fresh: Settings) -> None:
    kill_proof_at(fresh, ALL_STOPPED)
    assert jobs_to_resume(fresh, lost=False) == list(board_jobs())
    said: list[str] = []
    assert reconcile(fresh, "bracket", say=said.append).verdict is Verdict.MATCH
    assert any("stopped by a proof that was broken off" in sentence for sentence in said)


def test_what_a_person_suspended_in_between_stays_suspended(fresh: Settings) -> None:
    mine, other = list(board_jobs())
    kill_proof_at(fresh, ALL_STOPPED)
    jobs.suspend_job(fresh, mine)
    assert sensor_heals(fresh) == [other]
    assert last(fresh, mine).outcome == Outcome.SUSPENDED_BY_HAND
    ended = gamestream(fresh, "reconcile")
    assert ended.returncode == 0, ended.words
    assert f"not proven, because {mine} is suspended" in ended.words
    jobs.resume_job(fresh, mine)
    assert states(fresh) == {DeploymentState.RUNNING}


def test_two_proofs_at_once_are_one_proof_and_one_sentence(fresh: Settings) -> None:
    runs: list[ReconciliationRun] = []
    threads = [threading.Thread(target=lambda: runs.append(reconcile(fresh, "savepoint"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    refused = [run.reason for run in runs if run.verdict is Verdict.COULD_NOT_RUN]
    assert sorted(run.verdict.value for run in runs) == ["COULD_NOT_RUN", "MATCH"], refused
    assert "another proof" in refused[0]
    assert states(fresh) == {DeploymentState.RUNNING}


def test_nobody_goes_on_with_the_jobs_of_a_proof_at_work(fresh: Settings) -> None:
    job = next(iter(board_jobs()))
    with open_engine(fresh) as engine, PostgresDeploymentStore(engine).standstill():
        jobs.stand_still_job(fresh, job)
        assert sensor_heals(fresh) == []
        assert jobs_to_resume(fresh, lost=False) == []
        ended = gamestream(fresh, "reconcile")
        assert ended.returncode == 2
        assert "for another proof" in ended.words
    assert sensor_heals(fresh) == [job]
    assert last(fresh, job).state is DeploymentState.RUNNING


def test_where_the_broker_stamps_the_records_a_fast_clock_moves_nothing(fresh: Settings) -> None:
    send(fresh, ahead_seconds=3000)
    began = time.time() * 1000
    deadline = time.monotonic() + 90
    while True:
        send(fresh, events=3)
        run = reconcile(fresh, "bracket", boards=["hot_streaks"])
        assert run.verdict is Verdict.MATCH, run.reason
        if (run.boards[0].as_of or 0) > began:
            break
        assert time.monotonic() < deadline, "hot streaks stand still"
        time.sleep(1)
    assert jobs.observe_job(fresh, "hot_streaks_v1").health is Health.HEALTHY


@pytest.mark.leaves_traces
def test_where_producers_stamp_them_it_is_drift_an_alarm_and_a_difference(fresh: Settings, world: World) -> None:
    world.spoil()  # hot streaks stand still for 50 minutes afterwards
    KafkaAdmin(fresh.kafka).configure(TOPIC, {TYPE: "CreateTime"})
    planned = provisioning.plan(fresh, [ResourceKind.TOPIC])
    drifted = {one.name: one for one in planned.having(ResourceState.DRIFTED)}
    assert drifted[TOPIC].change == f"set {TYPE}=LogAppendTime for new records", drifted
    send_until_producers_stamp(fresh)
    send(fresh, ahead_seconds=3000)
    for _ in range(8):
        send(fresh, events=2)
        time.sleep(1)
    run = reconcile(fresh, "bracket", boards=["hot_streaks"])
    assert run.verdict is Verdict.DIFFERENT
    assert {one.cause for one in run.differences} == {"CLOCK_AHEAD"}
    assert [one for one in run.differences if one.kind is DifferenceKind.STALE]
    told: set[str | None] = set()
    deadline = time.monotonic() + 60
    while not any("CLOCK_AHEAD" in (text or "") for text in told):  # Flink collects its metrics when it is asked
        found = tick(board_jobs(), FlinkJobs(fresh), lambda incident: (), None)
        assert not found.run_requests, "no redeploy mends a clock"
        told |= {one.description for one in found.asset_events if isinstance(one, dg.AssetCheckEvaluation)}
        assert time.monotonic() < deadline, told
    assert any("ahead of the clock" in alert for alert in alerts(fresh))
    # the way back that `plan` offers
    [result] = [one for one in provisioning.apply(fresh, planned) if one.planned.name == TOPIC]
    assert (result.outcome.value, result.status.state) == ("DONE", ResourceState.PRESENT)


def alerts(settings: Settings) -> list[str]:
    with open_engine(settings) as engine, engine.connect() as database:
        return list(database.scalars(text("SELECT summary FROM alerts WHERE cleared_at IS NULL")))
