"""Empties a job's outputs before it starts from nothing: the new run never deletes what only an earlier one wrote."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import orjson
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from sqlalchemy import Engine, Table, delete, inspect, select

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.record.inputs import Inputs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.tables import closed_seasons

_LIMIT_SECONDS = 30.0


def begin_anew(settings: Settings, spec: JobSpec, inputs: Inputs) -> int:
    """Empty the job's outputs, and set its consumer group to where it begins. Rows of closed seasons stay.

    Returns the rows and keys that were deleted. The job must not run.

    Raises:
        ServiceError: Kafka or Postgres gives no answer; calling again goes on.
    """
    admin = KafkaAdmin(settings.kafka)
    for topic, state in inputs.items():
        # Commits of an earlier run would stand for partitions that this one has not read a record of.
        admin.commit(f"gamestream-{spec.name}", topic, state.beginnings)
    if not spec.outputs:
        return 0
    deleted, topics = 0, admin.topics()
    tables = load_metadata({output.name: output for output in spec.outputs}).tables
    with open_engine(settings) as engine:
        present = set(inspect(engine).get_table_names())
        for board in spec.outputs:
            closed = _closed(engine, board) if closed_seasons.name in present else frozenset[int]()
            if board.sinks.kafka is not None and board.topic in topics:
                deleted += _clear_topic(admin, board, closed)
            if board.sinks.postgres is not None and board.name in present:
                deleted += _clear_table(engine, board, tables[board.name], closed)
    return deleted


def _closed(engine: Engine, board: Board) -> frozenset[int]:
    """Starts of the board's closed seasons, milliseconds."""
    query = select(closed_seasons.c.season_id).where(closed_seasons.c.board == board.name)
    with engine.connect() as database:
        return frozenset(round(at.timestamp() * 1000) for at in database.execute(query).scalars())


def _clear_table(engine: Engine, board: Board, table: Table, closed: frozenset[int]) -> int:
    statement = delete(table)
    if board.season_column is not None and closed:
        kept = [datetime.fromtimestamp(at / 1000, UTC) for at in closed]
        statement = statement.where(table.c[board.season_column].not_in(kept))
    with engine.begin() as database:
        return database.execute(statement).rowcount


def _clear_topic(admin: KafkaAdmin, board: Board, closed: frozenset[int]) -> int:
    gone = [key for key in _live_keys(admin, board.topic) if not _of_closed(board, key, closed)]
    producer = Producer(admin.kafka.options({"acks": "all", "linger.ms": 5}))
    for partition, key in gone:
        producer.produce(board.topic, key=key, value=None, partition=partition)
    if producer.flush(_LIMIT_SECONDS):
        raise TransientServiceError("Kafka", f"it did not take the deletions of {board.topic}", "try again")
    return len(gone)


def _live_keys(admin: KafkaAdmin, topic: str) -> Iterable[tuple[int, bytes]]:
    """Keys whose newest record is no tombstone, each with its partition. As many as the board has rows."""
    beginnings, ends = admin.beginning_offsets(topic), admin.end_offsets(topic)
    waiting = {partition: end for partition, end in ends.items() if beginnings.get(partition, 0) < end}
    live: dict[tuple[int, bytes], None] = {}
    if not waiting:
        return live
    consumer = Consumer(
        admin.kafka.options(
            {
                "group.id": "gamestream-board-clearing",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
    )
    deadline = time.monotonic() + _LIMIT_SECONDS
    try:
        consumer.assign([TopicPartition(topic, partition, beginnings[partition]) for partition in waiting])
        while waiting:
            for message in consumer.consume(10_000, timeout=0.2):
                error, partition, key = message.error(), message.partition() or 0, message.key()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
                        raise TransientServiceError("Kafka", f"{topic} cannot be read: {error.str()}", "try again")
                    waiting.pop(partition, None)
                elif isinstance(key, bytes):
                    live[partition, key] = None
                    if message.value() is None:
                        del live[partition, key]
            if waiting and time.monotonic() > deadline:
                raise TransientServiceError("Kafka", f"{topic} was not read to its end in time", "try again")
    finally:
        consumer.close()
    return live


def _of_closed(board: Board, entry: tuple[int, bytes], closed: frozenset[int]) -> bool:
    """Whether a key is of a closed season; a key that cannot be read is none of the job's."""
    if board.season_column is None or not closed:
        return False
    try:
        value = orjson.loads(entry[1])[board.season_column]
        at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except (ValueError, KeyError, TypeError):
        return False
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000) in closed
