"""Executors that die or meet, and a job that changes its width: one job runs, from the right state, totals hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.errors import RefusedError
from gamestream_dagster.flink_jobs.observe.observer import same_path
from gamestream_dagster.flink_jobs.plan.model import Decision
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.settings import PROJECT_ROOT, Settings
from tests.support.killed_executor import STEPS
from tests.support.small_job import Game, new_game

EXECUTOR = "tests.support.killed_executor"
KILLED = -9


@pytest.fixture(scope="module")
def game(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Game]:
    """A job that has read and counted, in its first version."""
    made = new_game(stack, tmp_path_factory.mktemp("jobs"))
    made.send(60)
    made.apply()
    made.expect_totals()
    yield made
    made.end()


def executor(game: Game, dies_after: str = "") -> subprocess.Popen[str]:
    """`apply` in a process of its own."""
    where = [str(game.settings.home), str(game.settings.port_base), str(game.root), game.name]
    return subprocess.Popen([sys.executable, "-m", EXECUTOR, *where, dies_after], cwd=PROJECT_ROOT, text=True)


def expect_one_job_from_the_old_state(game: Game, before: int) -> None:
    """Exactly one job runs: the next generation, restored from what the one before was stopped with."""
    new, old = manager.history(game.settings, game.name, root=game.root)[:2]
    assert (new.generation, old.generation, new.state) == (before + 1, before, DeploymentState.RUNNING)
    assert new.restore_path == old.savepoint_path
    assert game.live() == [new.flink_job_id]
    with FlinkRest(game.settings.flink_rest) as flink:
        assert same_path(flink.checkpoints(new.flink_job_id).restored_path, old.savepoint_path)
    game.send(10)
    game.expect_totals()


def generation(game: Game) -> int:
    return manager.history(game.settings, game.name, 1, game.root)[0].generation


@pytest.mark.parametrize("step", STEPS)
def test_an_apply_that_is_killed_is_brought_to_its_end_by_the_next(game: Game, step: str) -> None:
    before = generation(game)
    game.write_job(restart_nonce=before)  # a change that fits: stop with a savepoint, submit from it
    assert executor(game, dies_after=step).wait(120) == KILLED
    game.apply()
    expect_one_job_from_the_old_state(game, before)


def test_two_applies_of_a_change_at_the_same_moment_submit_it_once(game: Game) -> None:
    before = generation(game)
    game.write_job(restart_nonce=before)
    both = [executor(game) for _ in range(2)]
    codes = sorted(one.wait(120) for one in both)
    assert codes[0] == 0  # the other one was told that somebody works on it, or found it done
    expect_one_job_from_the_old_state(game, before)


def test_a_job_that_changes_its_parallelism_goes_on_with_the_same_totals(game: Game) -> None:
    """Twice as wide from a savepoint, and back."""
    for parallelism in (2, 1):
        before, totals = generation(game), game.rows()
        game.write_job(flink={"parallelism.default": parallelism})
        made = manager.plan_job(game.settings, game.name, root=game.root)
        assert (made.decision, len(made.steps)) == (Decision.UPGRADE, 3)
        new = game.apply()
        assert game.rows() == totals
        with FlinkRest(game.settings.flink_rest) as flink:
            assert max(vertex.parallelism for vertex in flink.job(new.flink_job_id).vertices) == parallelism
        expect_one_job_from_the_old_state(game, before)


def test_sql_in_which_the_linter_finds_an_error_is_never_submitted(game: Game) -> None:
    source = game.root / "_sources" / "scores.sql"
    good = source.read_text()
    (job_id,) = game.live()
    try:
        source.write_text(good.replace("earliest-offset", "latest-offset"))
        made = manager.plan_job(game.settings, game.name, root=game.root)
        assert (made.decision, made.steps) == (Decision.REFUSE, ())
        with pytest.raises(RefusedError, match=r"GS01 _sources/scores\.sql:\d+"):
            game.apply()
    finally:
        source.write_text(good)
    assert game.live() == [job_id]
