"""The redeploy contract's checks of time: transactions that Kafka gave up, and a version that does not stay up."""

from __future__ import annotations

from typing import Any

import pytest

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.errors import ParkedError, RedeployContractError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.observed import JobState, RestoreFacts, RestoreKind, RestorePoint
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.target.transactions import CONNECTOR_DEFAULT_SECONDS, transaction_timeout
from gamestream_dagster.settings import Ranks
from tests.support.fakes.job_questions import SAVEPOINT, decide, record, seen
from tests.support.fakes.job_world import World

MINUTES_20 = RestoreFacts(True, age_hours=20 / 60)


def test_the_timeout_is_read_from_the_exactly_once_sinks() -> None:
    table = "CREATE TEMPORARY TABLE t (a INT) WITH ('connector' = 'kafka', {});"
    once, short = "'sink.delivery-guarantee' = 'exactly-once'", "'properties.transaction.timeout.ms' = '60000'"
    assert transaction_timeout([table.format(f"{once}, {short}")]) == 60
    assert transaction_timeout([table.format(once)]) == CONNECTOR_DEFAULT_SECONDS
    assert transaction_timeout([table.format(once), table.format(f"{short}, {once}")]) == 60
    assert transaction_timeout([table.format(short)]) is None  # at least once: no transaction to lose
    assert transaction_timeout(["-- 'sink.delivery-guarantee' = 'exactly-once'\nSELECT 1;"]) is None


def test_our_own_sinks_have_the_timeout_that_their_sql_says() -> None:
    assert {transaction_timeout([spec.sinks.text]) for spec in load_jobs(ranks=Ranks.ALL).values()} == {900.0}


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, Decision.PARK),
        ({"transaction_timeout": None}, Decision.RESTORE),
        ({"transaction_timeout": 3600.0}, Decision.RESTORE),
        ({"choice": Choice.RESUME}, Decision.RESTORE),  # the command that decides
        ({"choice": Choice.HEAL}, Decision.PARK),
    ],
)
def test_a_checkpoint_older_than_the_transactions_is_not_taken_unasked(
    changes: dict[str, Any], decision: Decision
) -> None:
    dead = seen(JobState.ABSENT, restore_facts=MINUTES_20)
    made = decide(dead, record(), **{"transaction_timeout": 900.0, **changes})
    assert made.decision is decision
    if decision is Decision.PARK:
        assert "20 min old" in made.reason
        assert made.choices[0] == "gamestream jobs resume totals_v1"


def test_the_age_of_a_savepoint_does_no_harm_and_that_of_a_checkpoint_taken_for_one_does() -> None:
    checkpoint = RestorePoint("file:/ck/1/chk-7", RestoreKind.SAVEPOINT)  # a sick job was stopped with it
    for restore, decision in [(SAVEPOINT, Decision.RESTORE), (checkpoint, Decision.PARK)]:
        dead = seen(JobState.ABSENT, restore=restore, restore_facts=MINUTES_20)
        assert decide(dead, record(), transaction_timeout=900.0).decision is decision


# -- steady -------------------------------------------------------------------------------------------------------


class Clock:
    """Time that only moves by sleeping, and does things at given seconds."""

    def __init__(self, world: World, *events: tuple[float, FlinkState]) -> None:
        self.now, self.world, self.events = 0.0, world, list(events)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.events and self.events[0][0] <= self.now:
            self.world.only.state = self.events.pop(0)[1]


def watch(monkeypatch: pytest.MonkeyPatch, *events: tuple[float, FlinkState]) -> tuple[World, Clock]:
    world = World()
    clock = Clock(world, *events)
    monkeypatch.setattr("gamestream_dagster.flink_jobs.execute.confirming.time", clock)
    apply(world.bench(limits={"steady_seconds": 60}), Choice.NONE, world.said.append, steady=True)
    return world, clock


def test_a_steady_job_is_watched_for_its_time_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    world, clock = watch(monkeypatch)
    assert 60 <= clock.now <= 62
    assert world.store.rows[-1].state is DeploymentState.RUNNING


def test_a_restart_begins_the_steady_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    _, clock = watch(monkeypatch, (30, FlinkState.RESTARTING), (40, FlinkState.RUNNING))
    assert 98 <= clock.now <= 102


def test_a_job_that_ends_while_it_is_watched_is_parked_with_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    clock = Clock(world, (30, FlinkState.FAILED))
    monkeypatch.setattr("gamestream_dagster.flink_jobs.execute.confirming.time", clock)
    with pytest.raises(RedeployContractError, match="ended as FAILED 30 s after it came up"):
        apply(world.bench(limits={"steady_seconds": 60}), Choice.NONE, world.said.append, steady=True)
    assert world.store.rows[-1].state is DeploymentState.PARKED
    assert "totals_v1" in world.alerts.standing


def test_a_job_that_never_stays_up_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    flaps = [(10.0 * n, FlinkState.RESTARTING if n % 2 else FlinkState.RUNNING) for n in range(1, 40)]
    with pytest.raises(RedeployContractError, match="never ran for 60 s"):
        watch(monkeypatch, *flaps)


@pytest.mark.parametrize(("seconds", "parked"), [(30, True), (90, False)])
def test_a_new_version_that_fails_at_once_is_parked_by_the_next_look_too(seconds: int, parked: bool) -> None:
    world = World()
    limits = {"steady_seconds": 60}
    world.apply(limits=limits)
    came_up = world.store.rows[-1].running_at
    assert came_up is not None
    world.only.failures = 1
    world.only.state = FlinkState.FAILED
    world.flink.failed_at_ms = int(came_up.timestamp() * 1000) + seconds * 1000
    if not parked:
        assert world.apply(Choice.HEAL, limits=limits).trigger == "HEAL"
        return
    with pytest.raises(ParkedError, match="failed within 60 s"):
        world.apply(Choice.HEAL, limits=limits)
    assert world.flink.live == []
