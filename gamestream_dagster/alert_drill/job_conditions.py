"""Conditions in Flink jobs, in proofs and in Dagster; contexts as in `conditions.py`."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import sqlalchemy as sa
from confluent_kafka import Producer

from gamestream_dagster.alert_drill.jobs import BOARDS, STREAKS
from gamestream_dagster.alert_drill.scene import Scene
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import score_source
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.reconciliation.observe.sinks import read_topic
from gamestream_dagster.reconciliation.repair import written

_RECONCILE = "reconcile"
_FLUSH_SECONDS = 30
_BURST = 150_000


@contextmanager
def wrong_row(scene: Scene) -> Iterator[None]:
    """A row of a board is edited by hand, and a proof finds it."""
    scene.wait_read()
    try:
        _add_points(scene, 1)
        scene.prove()
        yield
    finally:
        scene.command("repair", "--yes")
        scene.prove()


@contextmanager
def unexplained_row(scene: Scene) -> Iterator[None]:
    """A row is wrong in Postgres and Kafka alike, and Dagster proves the boards: no event explains it."""
    scene.wait_read()
    board = load_boards()["top_players"]
    row = next(one for one in read_topic(scene.settings.kafka, board) if one[board.rank_column] == 1)
    right = written(board, row)
    try:
        _add_points(scene, 1)
        _produce(scene, board.topic, {**right, "total_score": right["total_score"] + 1})
        scene.launch(_RECONCILE)
        yield
    finally:
        _add_points(scene, -1)
        _produce(scene, board.topic, right)
        scene.launch(_RECONCILE)


def _add_points(scene: Scene, points: int) -> None:
    with scene.database() as link:
        changed = sa.text("UPDATE top_players SET total_score = total_score + :points WHERE rnk = 1")
        if link.execute(changed, {"points": points}).rowcount != 1:
            raise DrillError("top_players has no first row to edit; see `gamestream board top_players`")


def _produce(scene: Scene, topic: str, value: Mapping[str, Any]) -> None:
    producer = Producer(scene.settings.kafka.options())
    producer.produce(topic, orjson.dumps(value), key=orjson.dumps({"rnk": value["rnk"]}))
    if producer.flush(_FLUSH_SECONDS):
        raise DrillError(f"Kafka does not take a record for {topic}; see `gamestream logs kafka`")


@contextmanager
def old_proof(scene: Scene) -> Iterator[None]:
    """Nobody proves the boards."""
    scene.prove()
    try:
        yield
    finally:
        scene.prove()


@contextmanager
def failed_proofs(scene: Scene) -> Iterator[None]:
    """A file of the archive is moved away: proofs cannot run, in Dagster and on the command line."""
    scene.prove()
    topic = score_source(scene.settings).topic
    file = min((scene.settings.archive_dir / topic).rglob("*.parquet"))
    aside = scene.settings.home / f"{file.name}.out-of-reach"  # in the archive it would be deleted as a leftover
    try:
        file.rename(aside)
        scene.launch(_RECONCILE, succeeds=False)
        for _ in range(2):
            scene.command(_RECONCILE)
        yield
    finally:
        aside.rename(file)
        scene.launch(_RECONCILE)


@contextmanager
def locked_table(scene: Scene) -> Iterator[None]:
    """Another session holds a lock on a board's table: its job waits, and completes no checkpoint."""
    with scene.database() as link:
        link.execute(sa.text("LOCK TABLE top_players IN ACCESS EXCLUSIVE MODE"))
        scene.events.scores(1_000)
        yield


@contextmanager
def slow_job(scene: Scene) -> Iterator[None]:
    """The TaskManager is suspended for most of the time, and a burst of events waits for it."""
    with scene.slowed("flink-taskmanager", suspended=2.5, running=0.2):
        scene.events.scores(_BURST)
        yield


@contextmanager
def missing_table(scene: Scene) -> Iterator[None]:
    """A board's table is renamed: its job fails at each write."""
    try:
        scene.execute("ALTER TABLE hot_streaks RENAME TO hot_streaks_of_the_drill")
        with scene.events.steady_scores():
            yield
    finally:
        scene.execute("ALTER TABLE IF EXISTS hot_streaks_of_the_drill RENAME TO hot_streaks")
        scene.wait_running(STREAKS)
        jobs.apply_job(scene.settings, STREAKS, Choice.REDEPLOY)  # a new Flink job has no failures behind it


@contextmanager
def lost_job(scene: Scene) -> Iterator[None]:
    """The JobManager is killed and the jobs' states are moved away: the job manager must not start them without."""
    folder = scene.settings.checkpoints_dir
    aside = folder.with_name("out-of-reach")
    running = scene.running_jobs()  # an earlier drill on these servers may have deployed more
    folder.rename(aside)
    try:
        scene.kill("flink-jobmanager")
        scene.wait_service("flink-jobmanager")
        for job in BOARDS:
            jobs.look_and_plan(scene.settings, job)
        yield
    finally:
        scene.put_back(aside)
        for job in running:
            jobs.apply_job(scene.settings, job, Choice.HEAL)
            scene.wait_running(job)
            jobs.look_and_plan(scene.settings, job)


@contextmanager
def hanging_server(scene: Scene) -> Iterator[None]:
    """The JobManager is suspended: who asks it gets no answer."""
    try:
        scene.signal("flink-jobmanager", signal.SIGSTOP)
        yield
    finally:
        scene.signal("flink-jobmanager", signal.SIGCONT)
