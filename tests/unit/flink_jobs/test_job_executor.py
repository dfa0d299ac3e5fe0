"""The executor over a fake Flink, killed at each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.control.incident_recording import note_look
from gamestream_dagster.flink_jobs.errors import (
    ExecutorBusyError,
    ParkedError,
    PreflightError,
    RedeployContractError,
    SubmissionRejectedError,
    TerminalFlinkJobError,
    TransientFlinkJobError,
)
from gamestream_dagster.flink_jobs.execute.stopping import stop
from gamestream_dagster.flink_jobs.execute.work import Work
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, Stop
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.observed import RestoreKind, RestorePoint
from tests.support.fakes.flink import Crash, FakeJob
from tests.support.fakes.job_specs import target
from tests.support.fakes.job_world import NEW_PLAN, World


@pytest.fixture
def world() -> World:
    return World()


def test_first_apply_deploys_and_the_second_does_nothing(world: World) -> None:
    first = world.apply()
    assert (first.state, first.generation, first.restore_path) == (DeploymentState.RUNNING, 1, None)
    assert world.only.name == "totals_v1@ffffffff-g1"
    assert world.apply() == first
    assert len(world.submitter.submitted) == 1


def test_suspend_and_resume_go_through_the_savepoint(world: World) -> None:
    world.apply()
    suspended = world.apply(Choice.SUSPEND)
    assert suspended.state is DeploymentState.SUSPENDED
    assert world.flink.live == []
    assert world.apply().state is DeploymentState.SUSPENDED  # a person's wish is respected
    resumed = world.apply(Choice.RESUME)
    assert resumed.restore_path == suspended.savepoint_path
    assert world.only.restored_path == suspended.savepoint_path


def test_a_change_that_fits_goes_on_from_a_savepoint_of_the_old_version(world: World) -> None:
    old = world.apply()
    new = world.apply(fingerprint="e" * 64)
    assert new.generation == 2
    assert world.only.restored_path == f"file:/sp/savepoint-{old.flink_job_id[:6]}"
    assert [row.state for row in world.store.rows] == [DeploymentState.SUPERSEDED, DeploymentState.RUNNING]


def test_a_change_that_does_not_fit_leaves_the_old_version_running(world: World) -> None:
    old = world.apply()
    world.submitter.plan = NEW_PLAN
    with pytest.raises(ParkedError, match="--replay"):
        world.apply(fingerprint="e" * 64)
    assert world.only.job_id == old.flink_job_id
    replayed = world.apply(Choice.REPLAY, fingerprint="e" * 64)
    assert replayed.restore_path is None
    assert world.store.rows[0].savepoint_path  # can be regretted


def test_a_bad_new_version_does_not_stop_the_old_one(world: World) -> None:
    old = world.apply()
    world.submitter.rejects = "Table 'x' not found"
    with pytest.raises(SubmissionRejectedError, match="Table 'x' not found"):
        world.apply(fingerprint="e" * 64)
    assert world.only.job_id == old.flink_job_id


def test_a_failed_savepoint_keeps_a_healthy_job_running(world: World) -> None:
    old = world.apply()
    world.flink.no_savepoints = True
    with pytest.raises(TerminalFlinkJobError, match="goes on running"):
        world.apply(fingerprint="e" * 64)
    assert world.only.job_id == old.flink_job_id
    assert world.store.rows[-1].state is DeploymentState.RUNNING


def test_a_sick_job_without_a_savepoint_goes_on_from_its_last_checkpoint(world: World) -> None:
    old = world.apply()
    world.flink.no_savepoints = True
    world.flink.all[old.flink_job_id].failures = 6
    healed = world.apply()
    assert world.only.restored_path == f"file:/ck/{old.flink_job_id}/chk-1"
    assert healed.trigger == "HEAL"
    assert world.flink.cancelled == [old.flink_job_id]


def looping_first_deployment(world: World) -> Deployment:
    """A first version that fails again and again and never completes a checkpoint; its executor was killed."""
    world.submitter.crash_after = True
    with pytest.raises(Crash):
        world.apply()
    world.only.failures, world.only.checkpoints, world.flink.no_savepoints = 6, 0, True
    return world.store.rows[-1]


def test_a_first_version_that_only_loops_is_replaced_by_a_change(world: World) -> None:
    old = looping_first_deployment(world)
    world.submitter.plan = NEW_PLAN
    new = world.apply(fingerprint="e" * 64)
    assert world.flink.cancelled == [old.flink_job_id]
    assert (new.generation, new.state, new.restore_path) == (2, DeploymentState.RUNNING, None)
    assert world.only.job_id == new.flink_job_id


def test_a_replay_cancels_a_job_that_can_make_no_savepoint(world: World) -> None:
    old = looping_first_deployment(world)
    world.flink.all[old.flink_job_id].failures = 0  # not judged as looping: the plan asks for a savepoint
    world.store.save(old, state=DeploymentState.PARKED, reason="no checkpoint")
    new = world.apply(Choice.REPLAY, fingerprint="e" * 64)
    assert world.flink.cancelled == [old.flink_job_id]
    assert (world.only.job_id, new.restore_path) == (new.flink_job_id, None)
    assert any("its state is given up" in line for line in world.said)


def test_a_failed_job_is_restored_from_its_last_checkpoint(world: World) -> None:
    old = world.apply()
    world.only.state = FlinkState.FAILED
    assert world.apply().restore_path == f"file:/ck/{old.flink_job_id}/chk-1"


def test_a_cancel_by_hand_is_respected_until_resumed(world: World) -> None:
    old = world.apply()
    world.only.state = FlinkState.CANCELED
    assert world.apply().state is DeploymentState.CANCELED
    assert world.flink.live == []
    assert world.apply(Choice.RESUME).restore_path == f"file:/ck/{old.flink_job_id}/chk-1"


def test_another_executor_is_told_so(world: World) -> None:
    world.store.busy = True
    with pytest.raises(ExecutorBusyError):
        world.apply()
    assert world.submitter.submitted == []


def test_no_answer_is_not_taken_for_a_missing_job(world: World) -> None:
    world.apply()
    world.flink.silent = True
    with pytest.raises(TransientFlinkJobError, match="no answer"):
        world.apply()
    assert len(world.submitter.submitted) == 1


def test_a_stale_list_of_jobs_does_not_lead_to_a_second_submission(world: World) -> None:
    world.apply()
    world.flink.empty_list = True
    world.apply()
    assert len(world.submitter.submitted) == 1


def test_too_few_slots_change_nothing() -> None:
    world = World(slots=0)
    with pytest.raises(PreflightError, match="task slots"):
        world.apply()
    assert world.store.rows == []


def test_a_job_restored_from_another_state_is_parked(world: World) -> None:
    world.apply()
    world.apply(Choice.SUSPEND)
    world.submitter.restores = "file:/sp/other"
    with pytest.raises(RedeployContractError, match="file:/sp/other"):
        world.apply(Choice.RESUME)
    assert world.store.rows[-1].state is DeploymentState.PARKED
    with pytest.raises(ParkedError):
        world.apply()


def test_a_parked_job_has_an_alert_until_it_runs_again(world: World) -> None:
    world.apply()
    world.apply(Choice.SUSPEND)
    world.submitter.restores = "file:/sp/other"
    with pytest.raises(RedeployContractError):
        world.apply(Choice.RESUME)
    assert "file:/sp/other" in world.alerts.standing["totals_v1"]
    with pytest.raises(ParkedError):
        world.apply()
    assert "totals_v1" in world.alerts.standing
    world.submitter.restores = None
    world.apply(Choice.REPLAY)
    assert world.alerts.standing == {}


def test_the_alert_of_a_parked_change_ends_when_the_change_is_undone_and_not_before(world: World) -> None:
    world.apply()
    world.submitter.plan = NEW_PLAN
    with pytest.raises(ParkedError):
        world.apply(fingerprint="e" * 64)
    for fingerprint, stands in [("e" * 64, True), ("f" * 64, False)]:
        bench = world.bench(fingerprint)
        note_look(bench, bench.question().observed)
        assert ("totals_v1" in world.alerts.standing) is stands


def test_a_second_job_of_the_name_is_cancelled_and_the_recorded_one_stays(world: World) -> None:
    ours = world.apply()
    world.flink.all["other"] = FakeJob("other", "totals_v1@ffffffff-g1", started_ms=1)
    world.apply()
    assert world.only.job_id == ours.flink_job_id
    assert world.flink.cancelled == ["other"]


def test_a_stateless_job_is_restarted_without_state(world: World) -> None:
    world.apply(upgrade_mode="stateless")
    again = world.apply(fingerprint="e" * 64, upgrade_mode="stateless")
    assert again.restore_path is None
    assert len(world.flink.live) == 1


# -- the executor dies ------------------------------------------------------------------------------------------


def test_killed_between_intent_and_submission_submits_once_with_the_stored_id(world: World) -> None:
    world.submitter.crash_before = True
    with pytest.raises(Crash):
        world.apply()
    (intent,) = world.store.rows
    assert intent.state is DeploymentState.SUBMITTING
    done = world.apply()
    assert [job_id for job_id, _ in world.submitter.submitted] == [intent.flink_job_id]
    assert (done.generation, done.state) == (1, DeploymentState.RUNNING)


def test_killed_after_submission_is_only_confirmed(world: World) -> None:
    world.submitter.crash_after = True
    with pytest.raises(Crash):
        world.apply()
    assert world.apply().state is DeploymentState.RUNNING
    assert len(world.submitter.submitted) == 1


@pytest.mark.parametrize("moment", ["crash_before", "crash_after"])
def test_killed_in_an_upgrade_goes_on_from_the_savepoint(world: World, moment: str) -> None:
    old = world.apply()
    setattr(world.submitter, moment, True)
    with pytest.raises(Crash):
        world.apply(fingerprint="e" * 64)
    done = world.apply(fingerprint="e" * 64)
    assert world.only.restored_path == f"file:/sp/savepoint-{old.flink_job_id[:6]}" == done.restore_path
    assert len(world.submitter.submitted) == 2


@pytest.mark.parametrize("stopped", [False, True], ids=["before the stop", "after the stop"])
def test_killed_while_stopping(world: World, stopped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    old = world.apply()
    real: Callable[..., str] = world.flink.stop_with_savepoint

    def dies(job_id: str, target: str | None, timeout_seconds: float = 120.0) -> str:
        if stopped:
            real(job_id, target, timeout_seconds)
        raise Crash

    monkeypatch.setattr(world.flink, "stop_with_savepoint", dies)
    with pytest.raises(Crash):
        world.apply(fingerprint="e" * 64)
    monkeypatch.undo()
    world.apply(fingerprint="e" * 64)
    assert world.only.restored_path == f"file:/sp/savepoint-{old.flink_job_id[:6]}"
    assert world.store.last("totals_v1").outcome == Outcome.RESTORED  # type: ignore[union-attr]


def test_the_dry_run_is_the_plan_and_changes_nothing(world: World) -> None:
    made = world.bench().plan()
    assert made.decision is Decision.DEPLOY
    assert (world.store.rows, world.flink.all) == ([], {})


def test_the_newest_checkpoint_on_disk_is_used_when_flink_has_forgotten_the_job(world: World, tmp_path: Path) -> None:
    old = world.apply()
    world.flink.all.clear()
    for number, complete in [(2, True), (10, True), (11, False)]:
        folder = tmp_path / old.flink_job_id / f"chk-{number}"
        folder.mkdir(parents=True)
        if complete:
            (folder / "_metadata").touch()
    restored = apply(world.bench_of(target(), tmp_path), Choice.NONE, world.said.append)
    assert restored is not None
    assert restored.restore_path == (tmp_path / old.flink_job_id / "chk-10").as_uri()


def test_a_job_that_starts_from_nothing_forgets_what_it_counted_and_one_with_state_does_not(world: World) -> None:
    first = world.apply()
    assert world.store.forgotten == [first.generation]
    upgraded = world.apply(fingerprint="e" * 64)
    assert upgraded.restore_path
    assert world.store.forgotten == [first.generation]
    replayed = world.apply(Choice.REPLAY, fingerprint="d" * 64)
    assert replayed.restore_path is None
    assert world.store.forgotten == [first.generation, replayed.generation]


def test_a_stop_that_a_dead_executor_brought_to_its_end_is_found_and_not_cancelled(world: World) -> None:
    """Seen on Flink: it says RUNNING for a moment more, refuses the second savepoint, and then the cancel."""
    record = world.store.save(world.apply(), state=DeploymentState.STOPPING)
    job = world.only
    job.state, job.savepoint, world.flink.no_savepoints = FlinkState.FINISHED, "file:/sp/made", True
    bench = world.bench()
    work = Work(
        *(bench.target, world.flink, world.submitter, world.store, world.said.append, record), rebuild=bench.rebuild
    )
    older = RestorePoint("file:/ck/1/chk-1", RestoreKind.CHECKPOINT)
    stop(work, Stop(job.job_id, Outcome.UPGRADING, or_else=older))
    assert work.recorded.savepoint_path == "file:/sp/made"
    assert world.flink.cancelled == []
