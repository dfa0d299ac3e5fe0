"""What is done to the careless jobs, and what is looked at afterwards: events, edits, deletions, an old savepoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from confluent_kafka import Producer, TopicPartition
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control.manager import workbench
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.spec.job_spec import flink_job_name
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Difference, Sink
from gamestream_dagster.reconciliation.observe.board_topic import BoardTopic
from gamestream_dagster.settings import Settings

TOPIC = "user-score"
BIG = 1_500_000_000
MOST_POINTS = 1_000_000_000_000
LATE_ROWS = {
    "LATE": "an event far behind the watermark, to the real job of hot streaks",
    "LATE + EDITED_BY_HAND": "both",
}
"""What test_soak.py finds, for the table of docs/causes.md."""


def parts_of(total: int) -> list[int]:
    """Scores that give a total, none above what one event may have: other tests leave large totals behind."""
    return [MOST_POINTS] * (total // MOST_POINTS) + [total % MOST_POINTS]


@dataclass
class Sender:
    """Sends score events to a partition."""

    settings: Settings
    number: int = 0
    times: dict[str, int] = field(default_factory=dict[str, int])
    """By event id when the event was: a copy says the same."""

    def send(self, partition: int, *events: tuple[str, Any] | tuple[str, Any, str]) -> None:
        """(player, score) or (player, score, event id); ids are made up otherwise."""
        producer = Producer(self.settings.kafka.options())
        for player, score, *given in events:
            self.number += 1
            event_id = given[0] if given else f"planted-{self.number}"
            now = self.times.setdefault(event_id, int(time.time() * 1000))
            value = {
                "user_id": player,
                "team_id": "plant-team",
                "team_name": "Plants",
                "score": score,
                "event_time_millis": now,
                "event_id": event_id,
            }
            producer.produce(TOPIC, orjson.dumps(value), key=player, partition=partition)
        assert producer.flush(20) == 0

    def misfortunes(self, partition: int, prefix: str, *names: str) -> None:
        """Whatever a player's name says happens to him: a copy, another score, a refused score, a great sum."""
        for place, name in enumerate(names):
            player = f"{prefix}{name}"
            self.send(partition, (player, 1000 + 10 * place, f"{player}-first"))
            if "dup" in name:
                self.send(partition, (player, 1000 + 10 * place, f"{player}-first"))
            if "other" in name:
                self.send(partition, (player, 700 + place, f"{player}-first"))
            if "neg" in name:
                self.send(partition, (player, -7))
            if "big" in name:
                self.send(partition, (player, BIG), (player, BIG))


def causes_by_player(run: ReconciliationRun, sink: Sink = Sink.POSTGRES) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in run.differences:
        if one.sink is sink:
            found.setdefault("/".join(one.entity or ("?",)), set()).add(one.cause)
    return found


def told(run: ReconciliationRun) -> list[Difference]:
    return [one for one in run.differences if one.sink is Sink.POSTGRES]


@contextmanager
def swallowed_updates(settings: Settings, table: str, writes: str = "UPDATE") -> Iterator[None]:
    """A sink that takes every write of some kinds and keeps none."""
    with open_engine(settings) as engine, engine.begin() as database:
        database.execute(text("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"))
        database.execute(
            text(f"CREATE TRIGGER swallow BEFORE {writes} ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()")
        )
    try:
        yield
    finally:
        with open_engine(settings) as engine, engine.begin() as database:
            database.execute(text(f"DROP TRIGGER swallow ON {table}"))
            database.execute(text("DROP FUNCTION swallow"))


def edit(settings: Settings, statement: str) -> None:
    with open_engine(settings) as engine, engine.begin() as database:
        database.execute(text(statement))


def put_record(settings: Settings, topic: str, key: bytes, value: object) -> None:
    """A record that the job did not write; bytes stay as they are, None is a tombstone."""
    producer = Producer(settings.kafka.options())
    producer.produce(topic, value if value is None or isinstance(value, bytes) else orjson.dumps(value), key=key)
    assert producer.flush(20) == 0


def put_back(settings: Settings, board: Board, rank: int) -> None:
    """The row that the topic held under a rank before the one that it holds now, in Postgres."""
    key, changes = (rank,), BoardTopic(settings.kafka, board).changes()
    held = [one.row(board) for one in changes if one.key_of(board) == key and one.value is not None]
    older = [row for row in held if row != held[-1]]
    columns = [name for name in board.columns if name != board.rank_column]
    changed = ", ".join(f"{name} = :{name}" for name in columns)
    with open_engine(settings) as engine, engine.begin() as database:
        database.execute(text(f"UPDATE {board.name} SET {changed} WHERE rnk = :rnk"), dict(older[-1]))


def delete_records(settings: Settings, partition: int, upto: int) -> None:
    """What a retention that is too short does."""
    admin = KafkaAdmin(settings.kafka)
    for future in admin.native.delete_records([TopicPartition(TOPIC, partition, upto)]).values():
        future.result(20)


def wait_for_totals(settings: Settings, table: str, totals: dict[str, int]) -> None:
    deadline = time.monotonic() + 60
    while True:
        with open_engine(settings) as engine, engine.connect() as database:
            found = dict(database.execute(text(f"SELECT user_id, total_score FROM {table}")).all())
        if totals.items() <= found.items():
            return
        assert time.monotonic() < deadline, f"{table} shows {found}, not {totals}"
        time.sleep(0.2)


def newest_tick(settings: Settings) -> int:
    """End of the newest window that hot streaks show, milliseconds."""
    with open_engine(settings) as engine, engine.connect() as database:
        newest = database.execute(text("SELECT extract(epoch FROM max(as_of)) * 1000 FROM hot_streaks")).scalar()
    return int(newest or 0)


def restore_by_hand(settings: Settings, root: Path, job: str, savepoint: str | None) -> None:
    """An operator starts the job from a savepoint of his own choice, as `flink run -s` would; it is put on record."""
    with workbench(settings, job, root) as bench:
        record = bench.store.last(job)
        assert record is not None
        assert savepoint is not None
        assert record.savepoint_path != savepoint
        generation = record.generation + 1
        options = dict(bench.target.options)
        options["pipeline.name"] = flink_job_name(job, record.fingerprint, generation)
        flink_job_id = bench.submitter.submit(job, bench.target.rendered, options, savepoint)
        bench.store.add(
            replace(
                record,
                deployment_id=uuid4().hex,
                generation=generation,
                flink_job_id=flink_job_id,
                state=DeploymentState.RUNNING,
                restore_path=savepoint,
                savepoint_path=None,
                submitted_at=datetime.now(UTC),
                running_at=datetime.now(UTC),
                ended_at=None,
                version=1,
            )
        )
