"""Rows that an output keeps no longer (`retention` of its `output.yaml`): gone from its table, then from its topic.

The table comes first: after a crash in between the next run finds the same keys in the topic and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

import orjson
import sqlalchemy as sa
from sqlalchemy import Engine

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import board_table

MOST_ROWS: Final = 100_000
"""Rows of an output that one run forgets at most; their keys are held in memory."""
_BATCH: Final = 1_000


def forget_old_rows(settings: Settings, board: Board, now_millis: int) -> int:
    """Delete the rows of an output that were written before its retention; returns how many, at most `MOST_ROWS`.

    A deleted key gets a tombstone in the topic, on the partition of its records: keys are mapped to partitions as
    Flink's writer does it (murmur2).

    Args:
        settings: the stack.
        board: an output with `retention`; another one keeps all its rows.
        now_millis: the time now, milliseconds since 1970.

    Raises:
        ServiceError: Kafka or Postgres does not answer.
        SendingError: a tombstone could not be written.
    """
    if board.retention is None or board.sinks.kafka is None or board.sinks.postgres is None:
        return 0
    keys = old_keys(settings.kafka, board.topic, now_millis - board.retention)
    with open_engine(settings) as engine:
        rest = iter(keys)
        while batch := list(islice(rest, _BATCH)):
            _delete(engine, board, [found for key in batch if (found := _values(board, key)) is not None])
    with ScoreProducer(settings.kafka, board.topic) as producer:
        for key in keys:
            producer.send(key, None)
    return len(keys)


def old_keys(kafka: KafkaConnection, topic: str, before_millis: int, most: int = MOST_ROWS) -> list[bytes]:
    """Keys whose newest record is a row that was written before a time; at most `most`, oldest first.

    Args:
        kafka: where the topic is.
        topic: an output's compacted topic.
        before_millis: milliseconds since 1970.
        most: at most so many.
    """
    admin = KafkaAdmin(kafka)
    ends = admin.end_offsets(topic, read_committed=True)
    found: dict[bytes, None] = {}
    for chunk in read_range(kafka, topic, admin.beginning_offsets(topic), ends):
        for key, value, written in zip(chunk.raw.keys, chunk.raw.values, chunk.raw.timestamps, strict=True):
            if not key:
                continue
            if value is None or written >= before_millis:
                found.pop(key, None)
            elif len(found) < most:
                found[key] = None
    return list(found)


def _values(board: Board, key: bytes) -> dict[str, Any] | None:
    """The key columns of a record's key; None for a key that no row of the table can have."""
    try:
        found = orjson.loads(key)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, Any]", found)
    return values if values.keys() == set(board.key_columns) and _fit(board, values) else None


def _fit(board: Board, values: Mapping[str, Any]) -> bool:
    kinds = {name: int if board.columns[name].type is ColumnType.BIGINT else str for name in values}
    return all(type(value) is kinds[name] for name, value in values.items())


def _delete(engine: Engine, board: Board, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    table = board_table(board, sa.MetaData())
    columns = [table.c[name] for name in board.key_columns]
    listed = [tuple(row[name] for name in board.key_columns) for row in rows]
    with engine.begin() as database:
        database.execute(sa.delete(table).where(sa.tuple_(*columns).in_(listed)))
