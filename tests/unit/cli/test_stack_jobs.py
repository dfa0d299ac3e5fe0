"""What `down` and `up` do about the jobs: in which order, and what they say where something stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.cli.stack_jobs import FLINK, resume_after_up, stop_before_down
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.flink_jobs.control import stack_lifecycle as with_the_stack
from gamestream_dagster.flink_jobs.control.stack_lifecycle import JobReport
from gamestream_dagster.platform.service import ProgressState, ServiceState, ServiceStatus
from gamestream_dagster.settings import Settings

STOPPED = JobReport("totals_v1", True, "stopped, its state is in file:/sp/1")
STUCK = JobReport("other_v1", False, "other_v1 was not stopped, it goes on running: disk full")


class Servers:
    """A stack; `done` lists what was asked of it and of the jobs, in order."""

    def __init__(self, **states: str) -> None:
        self.states = {FLINK: "HEALTHY", "postgres": "HEALTHY", "kafka": "HEALTHY", **states}
        self.done: list[str] = []

    def status(self, only: Sequence[str]) -> list[ServiceStatus]:
        return [
            ServiceStatus(name, ServiceState(state), None if state == "STOPPED" else 7, 1, None, None, "", "silent")
            for name, state in self.states.items()
            if name in only
        ]

    def stop(self, group: str) -> list[str]:
        self.done.append(f"stop {group}")
        return []


class Desk:
    """Calls the two functions with fakes behind them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self.monkeypatch = monkeypatch
        self.settings = Settings(home=home)
        self.said: list[str] = []
        self.shown: list[tuple[str, ProgressState]] = []

    def answer(self, name: str, outcome: Any, servers: Servers) -> None:
        def act(*given: Any, **more: Any) -> Any:
            servers.done.append(f"{name} {more}" if more else name)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        self.monkeypatch.setattr(with_the_stack, name, act)

    def down(self, servers: Any) -> None:
        stop_before_down(self.settings, servers, self.show, self.said.append)

    def up(self, servers: Any, started: list[str]) -> bool:
        return resume_after_up(self.settings, servers, started, self.show, self.said.append)

    def show(self, name: str, state: ProgressState, detail: str) -> None:
        self.shown.append((name, state))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    return Desk(monkeypatch, tmp_path)


def test_dagster_goes_before_the_jobs_or_its_sensor_would_bring_them_back(desk: Desk) -> None:
    servers = Servers()
    desk.answer("stop_jobs", [STOPPED], servers)
    desk.down(servers)
    assert servers.done == ["stop dagster", "stop_jobs"]
    assert (desk.shown, desk.said) == ([("totals_v1", ProgressState.STOPPED)], [])


@pytest.mark.parametrize(
    ("states", "told"), [({FLINK: "STARTING"}, "flink-jobmanager does not"), ({"postgres": "STOPPED"}, "postgres")]
)
def test_a_server_that_is_silent_is_named_and_the_stack_goes_down_all_the_same(
    desk: Desk, states: dict[str, str], told: str
) -> None:
    servers = Servers(**states)
    desk.answer("stop_jobs", [], servers)
    desk.down(servers)
    assert servers.done == ["stop dagster"]
    (sentence,) = desk.said
    assert told in sentence
    assert "newest checkpoint" in sentence


def test_flink_that_falls_silent_meanwhile_and_a_job_that_cannot_be_stopped_are_said(desk: Desk) -> None:
    servers = Servers()
    desk.answer("stop_jobs", TransientServiceError("Flink", "no answer within 5 s", "try again"), servers)
    desk.down(servers)
    assert "no answer within 5 s" in desk.said.pop()
    desk.answer("stop_jobs", [STOPPED, STUCK], servers)
    desk.down(servers)
    assert desk.said[0] == STUCK.sentence
    assert desk.shown[-1] == ("other_v1", ProgressState.FAILED)


def test_a_stack_without_flink_has_nothing_to_stop(desk: Desk) -> None:
    servers = Servers(**{FLINK: "STOPPED"})
    desk.answer("stop_jobs", [], servers)
    desk.down(servers)
    assert (servers.done, desk.said) == ([], [])


def test_a_cluster_that_was_given_by_its_address_stays_and_its_jobs_too(desk: Desk) -> None:
    servers = Servers(**{FLINK: "EXTERNAL"})
    desk.settings = desk.settings.model_copy(
        update={"flink_rest_url": "http://cluster:8081", "origins": {"flink_rest_url": "profile"}}
    )
    desk.answer("stop_jobs", [], servers)
    desk.down(servers)
    assert servers.done == []


@pytest.mark.parametrize(("started", "lost"), [([FLINK, "kafka"], True), (["dashboard"], False)])
def test_up_asks_for_lost_jobs_only_where_it_started_their_cluster(desk: Desk, started: list[str], lost: bool) -> None:
    servers = Servers()
    desk.answer("jobs_to_resume", ["totals_v1"], servers)
    desk.answer("resume_jobs", [JobReport("totals_v1", True, "runs as generation 2")], servers)
    assert desk.up(servers, started)
    assert servers.done == [f"jobs_to_resume {{'lost': {lost}}}", "resume_jobs"]


def test_up_says_which_job_did_not_come_back(desk: Desk) -> None:
    servers = Servers()
    desk.answer("jobs_to_resume", ["other_v1"], servers)
    desk.answer("resume_jobs", [JobReport("other_v1", False, "other_v1: parked: no good")], servers)
    assert not desk.up(servers, [FLINK])
    assert desk.said == ["other_v1: parked: no good"]


def test_up_without_flink_asks_nobody(desk: Desk) -> None:
    assert desk.up(Servers(**{FLINK: "STOPPED"}), ["kafka"])
