"""A stack whose score topic holds Avro: the first generator feeds the real jobs unchanged, and the boards match."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.first_generator import UserScore, feed_as_the_first_generator

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli.demo import wait_until_read
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.flink_jobs.catalogue import load_jobs
from gamestream_dagster.flink_jobs.manager import apply_job
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.reconciliation.model import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.reconciliation.sinks import read_tables
from gamestream_dagster.settings import Settings, load_settings


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
