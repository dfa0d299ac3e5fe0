"""What cannot run, or cannot go on from its state, is refused before anything is submitted: on the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.errors import ParkedError, PreflightError
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.settings import Settings
from tests.support.small_job import Game, new_game

pytestmark = pytest.mark.integration


@pytest.fixture
def game(stack: Settings, tmp_path: Path) -> Iterator[Game]:
    made = new_game(stack, tmp_path)
    yield made
    made.end()


def run(game: Game, statement: str) -> None:
    with open_engine(game.settings) as engine, engine.begin() as connection:
        connection.execute(text(statement))


def test_a_job_without_its_topic_or_its_table_is_not_submitted(game: Game) -> None:
    source = game.root / "_sources" / "scores.sql"
    right = source.read_text()
    source.write_text(right.replace(game.topic, f"no-{game.topic}"))
    run(game, f"DROP TABLE {game.table}")
    with pytest.raises(
        PreflightError, match=rf"topic no-{game.topic} does not exist.*table {game.table} does not exist"
    ):
        game.apply()
    assert game.live() == []
    assert manager.history(game.settings, game.name, root=game.root) == []
    source.write_text(right)
    run(game, f"CREATE TABLE {game.table} (player text PRIMARY KEY)")
    with pytest.raises(PreflightError, match=f"table {game.table} has no column total"):
        game.apply()
    run(game, f"ALTER TABLE {game.table} ADD COLUMN total bigint")
    game.apply()
    game.send(20)
    game.expect_totals()


def key_groups(game: Game) -> int:
    (job_id,) = game.live()
    with FlinkRest(game.settings.flink_rest) as flink:
        return max(one.max_parallelism for one in flink.job(job_id).vertices)


def test_another_max_parallelism_is_parked_until_a_person_chooses(game: Game) -> None:
    game.write_job(max_parallelism=64)
    game.apply()
    assert key_groups(game) == 64
    game.send(40)
    game.expect_totals()
    (job_id,) = game.live()

    game.write_job(max_parallelism=128)
    with pytest.raises(ParkedError, match=r"max_parallelism is 128 and the state has 64 key groups.*--replay"):
        game.apply()
    assert game.live() == [job_id]

    game.write_job(max_parallelism=64, flink={"parallelism.default": 2})  # what may change, may
    upgraded = game.apply()
    assert upgraded.restore_path
    assert key_groups(game) == 64

    game.write_job(max_parallelism=128)
    assert game.apply(Choice.REPLAY).restore_path is None
    assert key_groups(game) == 128
    game.send(20)
    game.expect_totals()
