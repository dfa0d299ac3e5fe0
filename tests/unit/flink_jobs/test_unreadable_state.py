"""A checkpoint that Flink cannot read is followed by the one before it, and the incident says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from gamestream_dagster.clients.flink_types import ExceptionEntry, FlinkState
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.errors import RedeployContractError, UnreadableStateError
from gamestream_dagster.flink_jobs.observe.observer import older_restores
from gamestream_dagster.flink_jobs.plan.model import Choice, Submit
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import Moment
from gamestream_dagster.flink_jobs.record.observed import RestoreKind, RestorePoint
from tests.support.fakes.job_specs import target
from tests.support.fakes.job_world import World

# what Flink 2.3 answered for a `_metadata` that was cut in half
STACK = """org.apache.flink.runtime.client.JobInitializationException: Could not start the JobMaster.
\tat org.apache.flink.runtime.jobmaster.DefaultJobMasterServiceProcess.lambda$new$0(DefaultJobMasterServiceProcess.java)
Caused by: java.util.concurrent.CompletionException: java.lang.RuntimeException: java.io.EOFException
\t... 5 more
Caused by: java.io.EOFException
\tat java.base/java.io.DataInputStream.readFully(Unknown Source)"""
NAME = "org.apache.flink.runtime.client.JobInitializationException"
CUT = ExceptionEntry.from_reply({"timestamp": 1, "exceptionName": NAME, "stacktrace": STACK})
UNFIT = ExceptionEntry(1, NAME, NAME, "java.lang.IllegalStateException: Cannot map checkpoint/savepoint state for x")


class Lost:
    """A job that ran, made three checkpoints, and was lost with its cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, World()
        first = self.apply()
        self.checkpoints = [folder / first.flink_job_id / f"chk-{number}" for number in (9, 10, 11)]
        for path in self.checkpoints:
            path.mkdir(parents=True)
            (path / "_metadata").touch()
        self.world.flink.all.clear()

    def spoil(self, *paths: Path, how: ExceptionEntry = CUT) -> None:
        self.world.submitter.unreadable = {path.as_uri(): how for path in paths}

    def apply(self, choice: Choice = Choice.HEAL) -> Deployment:
        made = apply(self.world.bench_of(target("f" * 64), self.folder), choice, self.world.said.append)
        assert made is not None
        return made


@pytest.fixture
def lost(tmp_path: Path) -> Lost:
    return Lost(tmp_path)


def test_the_cause_is_read_from_the_stack() -> None:
    assert CUT.cause == "java.io.EOFException"
    assert CUT.never_began
    assert not ExceptionEntry(1, "java.io.IOException", "broken pipe").never_began


def test_older_states_are_the_complete_ones_with_smaller_numbers(lost: Lost) -> None:
    nine, ten, eleven = lost.checkpoints

    def older(path: str) -> tuple[str, ...]:
        return older_restores(RestorePoint(path, RestoreKind.CHECKPOINT), lost.folder)

    assert older(eleven.as_uri()) == (ten.as_uri(), nine.as_uri())
    (ten / "_metadata").unlink()  # not complete
    assert older(eleven.as_uri()) == (nine.as_uri(),)
    assert older(nine.as_uri()) == older("file:/savepoints/savepoint-1-2") == older("s3://bucket/chk-3") == ()
    assert older_restores(RestorePoint(eleven.as_uri(), RestoreKind.CHECKPOINT), None) == ()


def test_the_dry_run_shows_which_states_would_be_tried(lost: Lost) -> None:
    nine, ten, eleven = (path.as_uri() for path in lost.checkpoints)
    made = lost.world.bench_of(target("f" * 64), lost.folder).plan(Choice.HEAL)
    submit = made.steps[-1]
    assert isinstance(submit, Submit)
    assert (submit.path, submit.older) == (eleven, (ten, nine))


@pytest.mark.parametrize("gateway_hears_of_it", [False, True])
def test_it_goes_on_from_the_newest_that_can_be_read(lost: Lost, gateway_hears_of_it: bool) -> None:
    lost.world.submitter.sees_failures = gateway_hears_of_it
    nine, ten, eleven = lost.checkpoints
    lost.spoil(ten, eleven)
    back = lost.apply()
    assert (back.state, back.restore_path) == (DeploymentState.RUNNING, nine.as_uri())
    assert [path for _, path in lost.world.submitter.submitted[1:]] == [one.as_uri() for one in (eleven, ten, nine)]
    assert [job.state for job in lost.world.flink.all.values()] == [*[FlinkState.FAILED] * 2, FlinkState.RUNNING]
    (incident,) = lost.world.incidents.history()
    tried = [entry.text for entry in incident.timeline if entry.moment is Moment.TRIED]
    assert len(tried) == 2
    assert "chk-11 cannot be read (java.io.EOFException)" in tried[0]
    assert incident.outcome is Moment.HEALTHY
    assert lost.world.alerts.standing == {}


def test_it_is_parked_when_none_can_be_read_and_comes_back_when_one_is_mended(lost: Lost) -> None:
    lost.spoil(*lost.checkpoints)
    with pytest.raises(UnreadableStateError, match=r"chk-9 cannot be read .*--replay"):
        lost.apply()
    assert lost.world.store.rows[-1].state is DeploymentState.PARKED
    assert "chk-9" in lost.world.alerts.standing["totals_v1"]
    assert lost.world.flink.live == []
    lost.spoil(lost.checkpoints[0])
    assert lost.apply(Choice.RESUME).restore_path == lost.checkpoints[-1].as_uri()


def test_a_state_of_other_operators_is_not_unreadable(lost: Lost) -> None:
    lost.spoil(lost.checkpoints[-1], how=UNFIT)
    with pytest.raises(RedeployContractError, match="Cannot map"):
        lost.apply()
    assert len(lost.world.submitter.submitted) == 2
