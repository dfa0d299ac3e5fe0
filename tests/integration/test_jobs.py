"""The job manager on the real servers, with a small job of its own: a sum for each player into Postgres."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.errors import (
    ExecutorBusyError,
    ParkedError,
    RedeployContractError,
    RefusedError,
    SubmissionRejectedError,
)
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.incidents import Moment
from gamestream_dagster.flink_jobs.record.observed import JobState
from gamestream_dagster.platform.service import ServiceState, ServiceStatus
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.settings import Settings
from tests.support.small_job import Game, new_game, wait_for

# an option that the connector takes and Kafka's client does not: every start of the source fails
BROKEN = "'scan.startup.mode' = 'earliest-offset', 'properties.fetch.min.bytes' = 'none'"


@pytest.fixture
def game(stack: Settings, tmp_path: Path) -> Iterator[Game]:
    made = new_game(stack, tmp_path)
    yield made
    made.end()


def test_a_job_writes_into_the_schema_of_the_settings(stack: Settings, tmp_path: Path) -> None:
    with open_engine(stack) as engine, engine.begin() as link:
        link.execute(text("CREATE SCHEMA games"))
    try:
        game = new_game(stack.model_copy(update={"postgres_schema": "games"}), tmp_path)
        game.send(20)
        game.apply()
        game.expect_totals()
        game.end()
    finally:
        with open_engine(stack) as engine, engine.begin() as link:
            link.execute(text("DROP SCHEMA games CASCADE"))


def test_a_job_through_its_life(game: Game) -> None:
    """Deployed, left alone, suspended, resumed, changed, replayed: totals hold at every point."""
    game.send(100)  # before the first deployment: they count
    with ThreadPoolExecutor(2) as pool:  # two executors at the same moment
        tries = [pool.submit(game.apply) for _ in range(2)]
        failures = [error for error in (one.exception() for one in tries) if error]
    assert len(failures) <= 1
    assert all(isinstance(error, ExecutorBusyError) for error in failures)
    (job_id,) = game.live()
    game.expect_totals()

    again = game.apply()
    assert (again.flink_job_id, again.generation, again.state) == (job_id, 1, DeploymentState.RUNNING)
    assert manager.plan_job(game.settings, game.name, root=game.root).decision is Decision.NOTHING
    assert game.settings.postgres_password_value not in (again.compiled_plan or "")

    suspended = manager.suspend_job(game.settings, game.name, root=game.root)
    assert game.live() == []
    game.send(50)
    assert game.apply().state is DeploymentState.SUSPENDED
    resumed = manager.resume_job(game.settings, game.name, root=game.root)
    assert resumed.restore_path == suspended.savepoint_path
    game.expect_totals()  # counted again from nothing they would be too small at first, doubled never

    game.write_job(restart_nonce=1)  # state fits: goes on
    upgraded = game.apply()
    assert (upgraded.generation, upgraded.trigger) == (3, "CHANGE")
    game.send(50)
    game.expect_totals()

    game.write_query("score >= 0 AND player <> 'p0'")  # state does not fit: asks
    with pytest.raises(ParkedError, match="--replay"):
        game.apply()
    assert game.live() == [upgraded.flink_job_id]
    with open_engine(game.settings) as engine, engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {game.table}"))
    replayed = game.apply(Choice.REPLAY)
    assert replayed.restore_path is None
    del game.sent["p0"]
    game.expect_totals()
    states = [one.state for one in manager.history(game.settings, game.name, root=game.root)]
    assert states == [DeploymentState.RUNNING, *[DeploymentState.SUPERSEDED] * 3]


def test_a_job_that_was_cancelled_by_hand_stays_so_until_resumed(game: Game) -> None:
    game.send(60)
    deployed = game.apply()
    game.expect_totals()
    with FlinkRest(game.settings.flink_rest) as flink:
        checkpoint = flink.checkpoint_now(deployed.flink_job_id, 30)
        flink.cancel(deployed.flink_job_id)
        flink.wait_for_job(deployed.flink_job_id, lambda job: job.state.ended, 30, "end")
    assert game.apply().state is DeploymentState.CANCELED
    assert game.live() == []
    game.send(20)
    resumed = game.apply(Choice.RESUME)
    assert resumed.restore_path is not None
    assert int(resumed.restore_path.rsplit("chk-", 1)[1]) >= checkpoint.checkpoint_id
    game.expect_totals()


def test_a_first_version_that_only_fails_is_replaced_by_a_change_or_a_replay(game: Game) -> None:
    """It cannot open its source, has no checkpoint and can make no savepoint: nothing stands in the way of the mend."""
    game.send(60)
    game.write_job(limits={"start_seconds": 8, "checkpoint_seconds": 4, "stop_seconds": 60})
    game.write_source(BROKEN)  # no task ever gets to run for long
    with pytest.raises(RedeployContractError, match="parked"):
        game.apply()
    (first,) = game.live()
    with pytest.raises(RedeployContractError, match="parked"):
        game.apply(Choice.REPLAY)
    (second,) = game.live()
    assert second != first
    (alert,) = game.alerts()
    assert "generation 2 is parked" in alert
    game.write_job()
    game.write_source()
    mended = game.apply()
    assert (mended.generation, mended.restore_path) == (3, None)
    assert game.alerts() == []
    assert game.live() == [mended.flink_job_id]
    game.expect_totals()


def test_a_bad_change_is_rolled_back_to_the_old_sql_and_its_own_savepoint(game: Game) -> None:
    """The change fits the state, so it is applied; it cannot open its source. What comes then is read later."""
    game.send(60)
    good = game.apply()
    game.expect_totals()
    game.write_job(limits={"start_seconds": 8, "checkpoint_seconds": 4, "stop_seconds": 60})
    game.write_source(BROKEN)
    with pytest.raises(RedeployContractError, match="parked"):
        game.apply()
    game.write_job()
    game.send(40)
    made = manager.plan_job(game.settings, game.name, Choice.ROLLBACK, game.root)
    assert made.decision is Decision.ROLLBACK
    back = game.apply(Choice.ROLLBACK)
    old = manager.history(game.settings, game.name, root=game.root)[-1]
    assert (back.fingerprint, back.restore_path) == (good.fingerprint, old.savepoint_path)
    assert game.settings.postgres_password_value not in str(back.spec)
    game.expect_totals()
    assert game.live() == [back.flink_job_id]
    assert manager.plan_job(game.settings, game.name, Choice.HEAL, game.root).decision is Decision.NOTHING
    with pytest.raises(RefusedError, match="nothing to roll back to"):
        game.apply(Choice.ROLLBACK)

    again = game.apply(Choice.REDEPLOY)  # the version that runs, not the folder's
    assert (again.fingerprint, again.trigger) == (good.fingerprint, "REDEPLOY")
    game.send(10)
    game.expect_totals()


def test_a_change_that_does_not_fit_can_be_left_and_is_then_healed_around(game: Game) -> None:
    """Kept by a person; then the job is gone without a trace in Flink, and comes back with the SQL that it ran."""
    game.send(60)
    old = game.apply()
    game.expect_totals()
    game.write_query("score >= 0 AND player <> 'p0'")
    assert game.apply(Choice.KEEP).flink_job_id == old.flink_job_id
    assert game.apply().flink_job_id == old.flink_job_id
    assert "an operator keeps it" in manager.pending_change(game.settings, game.name, game.root)
    with FlinkRest(game.settings.flink_rest) as flink:
        flink.checkpoint_now(old.flink_job_id, 30)
        flink.cancel(old.flink_job_id)
        flink.wait_for_job(old.flink_job_id, lambda job: job.state.ended, 30, "end")
    back = game.apply(Choice.RESUME)
    assert (back.fingerprint, back.generation) == (old.fingerprint, 2)
    game.send(20)
    game.expect_totals()  # p0 is still counted
    assert game.apply().flink_job_id == back.flink_job_id


def test_a_restart_by_flink_itself_is_an_incident_with_its_times(game: Game) -> None:
    """A record that the job cannot take: it fails, is seen, and is written down from the failure on."""
    game.send(20)
    # behind the exchange: what fails in the source's own chain, `json.ignore-parse-errors` drops in silence
    game.write_query(columns="player, total + CAST(CASE WHEN total > 1000 THEN 'x' ELSE '0' END AS BIGINT) AS total")
    game.apply()
    game.send_poison()
    wait_for("an open incident", lambda: bool(game.look().incident))
    (opened,) = manager.incidents(game.settings, game.name, root=game.root)
    assert opened.closed_at is None
    assert opened.seen_seconds is not None
    assert [entry.moment for entry in opened.timeline] == [Moment.SEEN]
    game.write_query()  # mended: the change does not fit the state, so a person decides
    replayed = game.apply(Choice.REPLAY)
    (closed,) = manager.incidents(game.settings, game.name, root=game.root)
    assert (closed.outcome, closed.attempt) == (Moment.HEALTHY, 1)
    assert closed.back_seconds is not None
    assert closed.back_seconds > opened.seen_seconds
    assert game.look().incident == closed
    assert game.live() == [replayed.flink_job_id]
    game.expect_totals()


def task_manager(game: Game) -> ServiceStatus:
    [status] = Stack(game.settings).status(["flink-taskmanager"])
    return status


def test_a_late_task_manager_is_kept_and_a_killed_one_comes_back_with_its_job(game: Game) -> None:
    """A busy machine holds one up for seconds; restarting its jobs would hold it up for longer, again and again."""
    game.send(60)
    deployed = game.apply()
    game.expect_totals()
    killed = task_manager(game).pid
    assert killed is not None
    os.kill(killed, signal.SIGSTOP)
    try:
        time.sleep(8)  # the time itself is under test
    finally:
        os.kill(killed, signal.SIGCONT)
    game.send(10)
    game.expect_totals()
    with FlinkRest(game.settings.flink_rest) as flink:
        assert flink.exceptions(deployed.flink_job_id) == []
    os.kill(killed, signal.SIGKILL)
    with FlinkRest(game.settings.flink_rest) as flink:
        wait_for("the restart", lambda: flink.exceptions(deployed.flink_job_id) != [])
        wait_for("all tasks", lambda: flink.job(deployed.flink_job_id).all_tasks_running)
        restored = flink.checkpoints(deployed.flink_job_id)
        assert restored.restored_path or restored.completed_count == 0
        count = "numRestarts"
        wait_for("its restarts", lambda: flink.job_metrics(deployed.flink_job_id, [count]).get(count, 0) >= 1)
    assert task_manager(game).pid not in (None, killed)
    wait_for("a healthy task manager", lambda: task_manager(game).state is ServiceState.HEALTHY)
    game.send(40)
    game.expect_totals()
    assert game.live() == [deployed.flink_job_id]
    assert game.apply().generation == 1  # there was nothing to do


def test_refused_sql_is_one_sentence_without_the_password_and_submits_nothing(game: Game) -> None:
    game.write_query(columns="player, nothere")
    with pytest.raises(SubmissionRejectedError, match="nothere") as raised:
        game.apply()
    assert game.settings.postgres_password_value not in str(raised.value)
    assert game.live() == []
    assert manager.history(game.settings, game.name, root=game.root) == []


def test_flink_that_does_not_answer_is_unknown(game: Game) -> None:
    silent = game.settings.model_copy(update={"flink_rest_url": "http://127.0.0.1:9"})
    assert manager.observe_job(silent, game.name, root=game.root).state is JobState.UNKNOWN
