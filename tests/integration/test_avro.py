"""A stack whose score topic holds Avro: the first generator feeds the real jobs unchanged, and the boards match."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from fakes.first_generator import UserScore, feed_as_the_first_generator
from small_job import new_game

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli.demo import wait_until_read
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.flink_jobs.catalogue import load_jobs
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.flink_jobs.manager import apply_job
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.reconciliation.model import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.reconciliation.sinks import read_tables
from gamestream_dagster.settings import ScoreFormat, Settings, load_settings


@pytest.fixture(scope="module")
def avro_stack(free_port_base: Callable[[], int]) -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    settings = load_settings(home=folder / "home", port_base=free_port_base(), score_format="avro")
    try:
        Stack(settings).up(("kafka", "registry", "postgres", "flink"))
        manager.apply(
            settings, manager.plan(settings, tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB))
        )
        yield settings
    finally:
        Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_first_generator_and_ours_feed_the_avro_jobs_and_the_boards_match(avro_stack: Settings):
    replay_into(avro_stack, "nba")
    scores = [
        UserScore("USR-1", "42", "Ruby-Koala", 2_000_000_000, 1_418_352_000_000 + n, "r", "normal") for n in (0, 1)
    ]
    feed_as_the_first_generator(avro_stack, "user-score", scores)
    for job in load_jobs():
        apply_job(avro_stack, job)
    wait_until_read(avro_stack, limit_seconds=120)

    run = reconcile(avro_stack, "drained")
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert run.ledger is not None
    assert run.ledger.records == run.ledger.accepted == 13_874 + 2

    with open_engine(avro_stack) as engine:
        players = read_tables(engine, [load_boards()["top_players"]])["top_players"]
    assert [(row["user_id"], row["total_score"]) for row in players][:2] == [
        ("USR-1", 4_000_000_000),
        ("stephen-curry", 1130),
    ]


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """Takes connections and requests, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_registry_that_never_answers_fails_the_job_and_is_named_as_the_cause(
    stack: Settings, silent_registry: str, tmp_path: Path
):
    avro = stack.model_copy(update={"score_format": ScoreFormat.AVRO, "registry_url": silent_registry})
    game = new_game(avro, tmp_path)
    game.write_job(limits={"start_seconds": 60, "checkpoint_seconds": 30, "stop_seconds": 60})
    producer = Producer({"bootstrap.servers": avro.kafka})
    producer.produce(game.topic, b"\x00\x00\x00\x00\x01\x02p\x02")
    assert producer.flush(20) == 0
    try:
        with pytest.raises(FlinkJobError, match=r"no checkpoint was complete .* newest failure: .*Read timed out"):
            game.apply()
    finally:
        game.end()
