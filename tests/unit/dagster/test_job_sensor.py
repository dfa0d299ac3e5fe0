"""The health sensor: what it asks for, and what it leaves alone."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import dagster as dg
import orjson
import pytest

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.components import flink_job_sensor
from gamestream_dagster.components.flink_job_sensor import (
    FIGURES_TAG,
    HEARTBEAT_SECONDS,
    INCIDENT_TAG,
    TICK_SECONDS,
    Attempt,
    decide,
    earlier_attempts,
    figures_from,
    look,
    tick,
)
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.incidents import Noted
from gamestream_dagster.flink_jobs.record.observed import Figures, Health, JobState, ObservedJob
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from tests.support.fakes.dagster_facades import FakeFlinkJobs, deployment, observed

JOB = "leaderboards_v1"
FAILED = {JOB: observed(JOB, JobState.FAILED)}


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    return load_jobs()[JOB]


def no_attempts(_: str) -> list[Attempt]:
    return []


def test_healthy_job_is_not_even_planned(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs()
    result = tick({JOB: spec}, jobs, no_attempts, None)
    assert (result.run_requests, jobs.planned) == ([], [])
    assert "RUNNING, HEALTHY" in result.skip_reason.skip_message


def test_failed_job_gets_a_run_and_the_sensor_itself_acts_on_nothing(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs(FAILED)
    [request] = tick({JOB: spec}, jobs, no_attempts, None).run_requests
    assert request.run_key == f"{JOB}:{JOB}-1:1"
    assert request.asset_selection == [dg.AssetKey(["job", JOB])]
    assert jobs.applied == []


def test_second_failure_is_healed_too(spec: JobSpec) -> None:
    # a run key that was used never runs again: after the first redeploy there is a new deployment, so a new key
    keys = set()
    for generation in (1, 2, 3):
        jobs = FakeFlinkJobs(FAILED, deployments={JOB: deployment(JOB, generation)})
        [request] = tick({JOB: spec}, jobs, no_attempts, None).run_requests
        keys.add(request.run_key)
    assert len(keys) == 3


@pytest.mark.parametrize(("minutes", "asks"), [(11, True), (5, False)])
def test_what_a_dead_executor_submitted_is_finished_by_a_run(spec: JobSpec, minutes: int, asks: bool) -> None:
    submitted = replace(
        deployment(JOB, state=DeploymentState.SUBMITTING), submitted_at=datetime.now(UTC) - timedelta(minutes=minutes)
    )
    jobs = FakeFlinkJobs(decision=Decision.FINISH, deployments={JOB: submitted})
    result = tick({JOB: spec}, jobs, no_attempts, None)
    assert bool(result.run_requests) is asks
    assert bool(jobs.planned) is asks


def test_failed_attempt_is_followed_by_another_with_its_own_key(spec: JobSpec) -> None:
    finding = look(spec, FakeFlinkJobs(FAILED))
    first = decide(finding, [], now=1000)
    waiting = decide(finding, [Attempt(ended_at=1000)], now=1010)
    second = decide(finding, [Attempt(ended_at=1000)], now=1031)
    assert isinstance(waiting, dg.SkipReason)
    assert "next in 30 s" in (waiting.skip_message or "")
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key != second.run_key


def test_attempts_are_spaced_ever_wider_up_to_ten_minutes(spec: JobSpec) -> None:
    finding = look(spec, FakeFlinkJobs(FAILED))
    many = [Attempt(ended_at=0.0)] * 20
    assert isinstance(decide(finding, many, now=599), dg.SkipReason)
    assert isinstance(decide(finding, many, now=601), dg.RunRequest)


def test_no_second_run_while_one_works_on_the_incident(spec: JobSpec) -> None:
    decision = decide(look(spec, FakeFlinkJobs(FAILED)), [Attempt(ended_at=None)], now=9e9)
    assert isinstance(decision, dg.SkipReason)
    assert "A run works on it" in (decision.skip_message or "")


@pytest.mark.parametrize("decision", [Decision.PARK, Decision.WAIT, Decision.NOTHING, Decision.SUSPEND])
def test_decisions_of_a_person_are_left_to_the_person(spec: JobSpec, decision: Decision) -> None:
    result = tick({JOB: spec}, FakeFlinkJobs(FAILED, decision), no_attempts, None)
    assert result.run_requests == []
    assert decision.value in result.skip_reason.skip_message


def at(seconds: int, read: int, lag: int, job_id: str = "1") -> dict[str, ObservedJob]:
    figures = Figures(now_ms=seconds * 1000, flink_job_id=job_id, records_read=read, lag_records=lag)
    return {JOB: replace(observed(JOB), figures=figures)}


def ticks(spec: JobSpec, looks: list[dict[str, ObservedJob]]) -> list[list[dg.RunRequest]]:
    cursor, requests = None, []
    for states in looks:
        result = tick({JOB: spec}, FakeFlinkJobs(states, Decision.HEAL), no_attempts, cursor)
        cursor = result.cursor
        requests.append(list(result.run_requests))
    return requests


def test_job_that_stands_still_while_more_waits_gets_a_run_with_the_figures(spec: JobSpec) -> None:
    *before, [request] = ticks(spec, [at(0, 90, 0), at(30, 100, 5), at(60, 100, 9), at(90, 100, 12)])
    assert before == [[], [], []]  # 30 s without a record is no fault yet
    assert figures_from(request.tags) == Figures(now_ms=30_000, flink_job_id="1", records_read=100, lag_records=5)


@pytest.mark.parametrize(
    "looks",
    [
        [at(0, 100, 0), at(3600, 100, 0), at(3630, 100, 3)],  # quiet for an hour, then a record that just came
        [at(0, 100, 5), at(60, 100, 5)],  # nothing new waits
        [at(0, 100, 5), at(60, 101, 9)],  # slow
        [at(0, 0, 5), at(60, 0, 9, "2")],  # another deployment, which has not begun to read
    ],
    ids=["quiet", "no growth", "slow", "redeployed"],
)
def test_job_that_does_not_stand_still_is_left_alone(spec: JobSpec, looks: list[dict[str, ObservedJob]]) -> None:
    assert not any(ticks(spec, looks))


def test_run_of_a_person_has_no_figures() -> None:
    assert figures_from({}) is None


def test_parked_job_has_an_alert_until_it_is_well_again(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs(FAILED, Decision.PARK)
    tick({JOB: spec}, jobs, no_attempts, None)
    assert jobs.alerts == {JOB: "Flink no longer knows it"}
    jobs.states = {JOB: observed(JOB, JobState.UNKNOWN)}
    tick({JOB: spec}, jobs, no_attempts, None)
    assert JOB in jobs.alerts  # no answer is not "well"
    jobs.states = {}
    tick({JOB: spec}, jobs, no_attempts, None)
    assert jobs.alerts == {}


def test_sensor_plans_to_heal_and_not_to_apply_what_a_person_has_not(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs(FAILED)
    tick({JOB: spec}, jobs, no_attempts, None)
    assert jobs.choices == [Choice.HEAL]


def test_what_waits_for_a_person_is_observed_though_the_job_is_well_and_once(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs()
    jobs.noted = Noted(pending="it is generation 3, and the folder has another version")
    first = tick({JOB: spec}, jobs, no_attempts, None)
    assert "generation 3" in str(first.asset_events[0].metadata["pending"].value)
    assert tick({JOB: spec}, jobs, no_attempts, first.cursor).asset_events == []
    jobs.noted = Noted()
    assert len(tick({JOB: spec}, jobs, no_attempts, first.cursor).asset_events) == 2


@pytest.mark.parametrize("health", [Health.LOOPING, Health.NO_CHECKPOINT, Health.STALLED])
def test_sick_job_that_says_running_gets_a_run(spec: JobSpec, health: Health) -> None:
    jobs = FakeFlinkJobs({JOB: observed(JOB, health=health)}, Decision.HEAL)
    assert len(tick({JOB: spec}, jobs, no_attempts, None).run_requests) == 1


@pytest.mark.parametrize("health", [Health.STARTING, Health.RECOVERING])
def test_job_that_flink_brings_back_itself_is_left_alone(spec: JobSpec, health: Health) -> None:
    jobs = FakeFlinkJobs({JOB: observed(JOB, health=health)})
    assert tick({JOB: spec}, jobs, no_attempts, None).run_requests == []


def test_no_answer_from_flink_is_not_a_failure_of_the_job(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs({JOB: observed(JOB, JobState.UNKNOWN)})
    result = tick({JOB: spec}, jobs, no_attempts, None)
    assert result.run_requests == []
    assert jobs.planned == []
    assert "gives no answer" in result.skip_reason.skip_message


def test_job_that_was_never_deployed_waits_for_a_person(spec: JobSpec) -> None:
    jobs = FakeFlinkJobs({JOB: observed(JOB, JobState.ABSENT)}, Decision.DEPLOY, {JOB: None})
    result = tick({JOB: spec}, jobs, no_attempts, None)
    assert result.run_requests == []
    assert "never deployed" in result.skip_reason.skip_message


def test_silent_postgres_is_said_and_the_tick_goes_on(spec: JobSpec) -> None:
    error = TransientServiceError("Postgres", "nothing listens", "start it")
    result = tick({JOB: spec}, FakeFlinkJobs(observe_error=error), no_attempts, None)
    assert "could not look: Postgres: nothing listens" in result.skip_reason.skip_message


def test_observations_come_on_change_and_once_an_hour(spec: JobSpec) -> None:
    now, cursor, emitted = 0.0, None, []
    for _ in range(121):  # an hour of ticks at 30 s
        result = tick({JOB: spec}, FakeFlinkJobs(), no_attempts, cursor, lambda at=now: at)
        cursor = result.cursor
        emitted.append(len(result.asset_events))
        now += 30
    # one observation and one check result each time
    assert sum(emitted) == 4
    assert (emitted[0], emitted[120]) == (2, 2)
    assert HEARTBEAT_SECONDS == 120 * 30
    changed = tick({JOB: spec}, FakeFlinkJobs(FAILED), no_attempts, cursor, lambda at=now: at)
    observation, check = changed.asset_events
    assert observation.metadata["state"].value == "FAILED"
    assert (check.check_name, check.passed, check.severity) == ("healthy", False, dg.AssetCheckSeverity.ERROR)


def test_tick_that_runs_out_of_time_begins_with_the_rest_next_time() -> None:
    specs = load_jobs()
    first, second = list(specs)[:2]
    clock = chain([0.0] * 4, repeat(TICK_SECONDS + 1))  # the time is over when the first job was looked at
    result = tick(specs, FakeFlinkJobs(), no_attempts, None, lambda: next(clock))
    assert orjson.loads(result.cursor)["next"] == second
    jobs = FakeFlinkJobs({second: observed(second, JobState.FAILED), first: observed(first, JobState.FAILED)})
    tick(specs, jobs, no_attempts, result.cursor)
    assert jobs.planned == [second, first]


def test_a_server_that_hangs_costs_one_tick_its_time_and_the_other_jobs_their_turn_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flink_job_sensor, "TICK_SECONDS", 0.5)
    specs = load_jobs()
    first, second = list(specs)[:2]
    released = threading.Event()

    class Hanging(FakeFlinkJobs):
        def observe(self, job: str, previous: Figures | None = None) -> ObservedJob:
            if job == first:
                assert released.wait(30)
            return super().observe(job, previous)

    began = time.monotonic()
    result = tick(specs, Hanging(), no_attempts, None)
    took = time.monotonic() - began
    released.set()
    assert took < 10
    assert f"{first}: could not look: no answer within the 0 s" in result.skip_reason.skip_message
    assert orjson.loads(result.cursor)["next"] == second


def test_lag_and_the_age_of_the_watermark_are_in_the_observation(spec: JobSpec) -> None:
    figures = Figures(now_ms=60_000, lag_records=12, watermark_ms=48_500, records_read=7)
    seen = {JOB: replace(observed(JOB), figures=figures)}
    observation, _ = tick({JOB: spec}, FakeFlinkJobs(seen), no_attempts, None).asset_events
    assert observation.metadata["lag_records"].value == 12
    assert observation.metadata["watermark_age_seconds"].value == 11.5


def test_attempts_are_counted_from_the_runs_of_the_incident(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        @dg.op
        def work() -> None: ...

        @dg.job
        def heal() -> None:
            work()

        for incident in ("a", "a", "b"):
            heal.execute_in_process(instance=instance, tags={INCIDENT_TAG: incident})
        found = earlier_attempts(instance, "a")
        assert len(found) == 2
        assert all(attempt.ended_at for attempt in found)
        assert earlier_attempts(instance, "c") == []


@pytest.mark.parametrize(("busy", "asks"), [(False, True), (True, False)])
def test_a_stop_whose_executor_died_is_finished_though_the_job_runs_well(spec: JobSpec, busy: bool, asks: bool) -> None:
    stopping = replace(deployment(JOB), state=DeploymentState.STOPPING, outcome=Outcome.STANDSTILL.value)
    jobs = FakeFlinkJobs({JOB: observed(JOB)}, Decision.FINISH, {JOB: stopping})
    jobs.busy = busy
    result = tick({JOB: spec}, jobs, no_attempts, None)
    assert bool(result.run_requests) is asks
    assert jobs.planned == ([JOB] if asks else [])


def test_the_standing_of_a_watermark_is_known_from_one_look_to_the_next(spec: JobSpec) -> None:
    figures = Figures(now_ms=60_000, flink_job_id="a", watermark_ms=5, watermark_since_ms=1, read_at_watermark=7)
    cursor = tick({JOB: spec}, FakeFlinkJobs({JOB: replace(observed(JOB), figures=figures)}), no_attempts, None).cursor
    kept = orjson.loads(cursor)["figures"][JOB]
    assert (kept["watermark_ms"], kept["watermark_since_ms"], kept["read_at_watermark"]) == (5, 1, 7)
    assert figures_from({FIGURES_TAG: orjson.dumps(kept).decode()}) == replace(figures, now_ms=60_000)
